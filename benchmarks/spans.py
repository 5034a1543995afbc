"""Is a feature space found again under other tokens? `python -m benchmarks.spans RETOKENISED SAES`.

Prints the tables of docs/spans.md: layer 3 of `stories-6`, or of the same model retrained on other tokens, against
layer 6 of `stories-12`. RETOKENISED and SAES are what the two commands there write.
"""

import argparse
import contextlib
import io
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import analogue.cli.schema  # noqa: F401
from analogue.cli.composition import typed
from analogue.cli.run import quieten
from analogue.cli.schema import CompareConfig
from analogue.cli.trainer import open_trainer
from analogue.comparison.pairing import configured_rule
from analogue.comparison.reading import Reading, read_corpus
from analogue.comparison.run import compare, feature_space, filter_pairs, gather_activations
from analogue.comparison.scoring import score_pairs
from analogue.comparison.side import open_side

CONF = Path(__file__).parent.parent / "conf"
METRICS = {"SVCCA": "svcca", "one component": "svcca_pc1", "RSA": "rsa", "mean r": "mean_correlation"}
RANDOM = "model_a.randomize=weights"
Score = dict[str, Any]
"""As it stands in a record."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("retokenised", type=Path, help="the model that analogue.embedded.make has trained")
    parser.add_argument("saes", type=Path, help="the SAEs that train_sae.py has trained on it, layer_0 to layer_5")
    arguments = parser.parse_args()
    model, saes = arguments.retokenised.resolve(), arguments.saes.resolve() / "layer_{layer}"
    other = ("model_a=hub", f"model_a.name={model}", f"sae_a.path='{saes}'", "alignment=spans")
    quieten()
    print(f"| A | compared on | pairs through the filters | {' | '.join(f'{name} (null, p)' for name in METRICS)} |")
    print(f"|{' --- |' * (3 + len(METRICS))}")
    for direction in ("matching.direction=a_to_b", "matching.direction=b_to_a"):
        print_row(f"`stories-6`, {direction[-6:]}", "tokens", *compared(direction))
        print_row("`stories-6`", "the spans below", *compared_on_spans_of(direction, *other))
        print_row("retokenised", "spans", *compared(direction, *other))
    for aggregation in ("mean", "last"):
        print_row("retokenised", f"spans, `{aggregation}`", *compared(*other, f"alignment.aggregation={aggregation}"))
    print_row("`stories-6`, random weights", "tokens", *compared(RANDOM))
    print_row("retokenised, random weights", "spans", *compared(*other, RANDOM))


def configured(*overrides: str) -> DictConfig:
    """A comparison of the embedded pair, with shuffled and rotated nulls."""
    settings = ("null.kinds=[shuffle,rotated]", "logger=none", "trainer.enable_progress_bar=false")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("compare", overrides=[*settings, f"output_dir={tempfile.mkdtemp()}", *overrides])


def compared(*overrides: str) -> tuple[list[int], list[Score]]:
    """The funnel of a comparison, and its scores."""
    with contextlib.redirect_stdout(io.StringIO()):
        record = compare(configured(*overrides))
    assert record is not None
    return [step["n_pairs"] for step in record.funnel], record.similarity


def compared_on_spans_of(direction: str, *other: str) -> tuple[list[int], list[Score]]:
    """The plain pair, its activations carried to the spans that B's tokens share with those of another model of A."""
    plain, spanned = (typed(configured(*overrides), CompareConfig) for overrides in ((direction,), (direction, *other)))
    a, b, a_retokenised = (
        open_side(label, getattr(config, f"model_{label}"), getattr(config, f"sae_{label}"), layer)
        for label, config, layer in (("a", plain, 3), ("b", plain, 6), ("a", spanned, 3))
    )
    aligned = read_corpus(spanned, a_retokenised, b).aligned
    assert aligned is not None
    spans_of_b = replace(aligned, a=aligned.b, span_a=aligned.span_b)
    reading = Reading({"a": aligned.b, "b": aligned.b}, spans_of_b, spanned.alignment.aggregation.value)
    trainer = open_trainer(plain.trainer, logger=False)
    activations = gather_activations(plain, trainer, [a, b], reading).activations
    acts = [reading.on_units(side.label, activations[side.label].activations) for side in (a, b)]
    spaces = [feature_space(side, each, reading.units(side), plain) for side, each in zip((a, b), acts, strict=True)]
    claims = configured_rule(plain.matching, a, b, trainer.strategy.root_device)(*acts, plain.matching.direction.value)
    pairing = filter_pairs(plain, [a, b], claims, *spaces)
    scores = score_pairs(plain, *spaces, pairing.pairs)
    return [n_pairs for _, n_pairs in pairing.funnel], [asdict(each) for each in scores.similarity]


def print_row(model: str, compared_on: str, funnel: list[int], similarity: list[Score]) -> None:
    """A line of the table."""
    found = {each["metric"]: each for each in similarity}
    scores = (found[metric] for metric in METRICS.values())
    cells = [f"{each['score']:.3f} ({each['null_mean']:.3f}, {each['p_value']:.2g})" for each in scores]
    print("|", " | ".join([model, compared_on, " > ".join(map(str, funnel)), *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
