"""Is a feature space found again under other tokens? `python -m benchmarks.spans RETOKENISED SAES`.

Prints the tables of docs/spans.md: layer 3 of `stories-6`, or of the same model retrained on other tokens, against
layer 6 of `stories-12`. RETOKENISED and SAES are what the two commands there write.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from analogue import Filters, Matching, Null, Side, compare
from analogue.comparison import (
    TokenisedCorpus,
    chosen_rule,
    collect_activations,
    describe_features,
    filter_pairs,
    open_side,
    pair_features,
    score_pairs,
    special_tokens_of,
    tokenise_corpus,
)
from analogue.settings import METRICS as DEFAULT_METRICS
from analogue.settings import STORIES
from analogue.trainer import trainer_on

METRICS = {"SVCCA": "svcca", "one component": "svcca_pc1", "RSA": "rsa", "mean r": "mean_correlation"}
A = Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_3")
B = Side(model="embedded:stories-12", layer=6, sae="embedded:stories-12-saes/layer_6")
NULL = Null(kinds=["shuffle", "rotated"])
SPANS = {"alignment": "spans", "corpus": STORIES}
Score = dict[str, Any]
"""As it stands in a record."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("retokenised", type=Path, help="the model that make_retokenised has trained")
    parser.add_argument("saes", type=Path, help="the SAEs that train_sae.py has trained on it, layer_0 to layer_5")
    arguments = parser.parse_args()
    retokenised = Side(model=arguments.retokenised, layer=3, sae=arguments.saes / "layer_3")
    names = [f"{name} (rotated)" if name == "mean r" else f"{name} (null, p)" for name in METRICS]
    print(f"| A | compared on | pairs through the filters | {' | '.join(names)} |")
    print(f"|{' --- |' * (3 + len(METRICS))}")
    for direction in ("a_to_b", "b_to_a"):
        matching = Matching(direction=direction)
        print_row(f"`stories-6`, {direction}", "tokens", *compared(A, matching=matching))
        print_row("`stories-6`", "the spans below", *compared_on_spans_of(retokenised, matching))
        print_row("retokenised", "spans", *compared(retokenised, matching=matching, **SPANS))
    for aggregation in ("mean", "last"):
        print_row("retokenised", f"spans, `{aggregation}`", *compared(retokenised, aggregation=aggregation, **SPANS))
    print_row("`stories-6`, random weights", "tokens", *compared(replace(A, randomize="weights")))
    print_row("retokenised, random weights", "spans", *compared(replace(retokenised, randomize="weights"), **SPANS))


def compared(a: Side, **settings: Any) -> tuple[list[int], list[Score]]:
    """The funnel of a comparison with `stories-12`, and its scores."""
    comparison = compare(a, B, null=NULL, progress=False, **settings)
    assert comparison is not None
    return [*comparison.funnel["n_pairs"]], comparison.record.similarity


def compared_on_spans_of(retokenised: Side, matching: Matching) -> tuple[list[int], list[Score]]:
    """The plain pair, its activations carried to the spans that B's tokens share with those of another model of A."""
    a, b, other = open_side(A, "a"), open_side(B, "b"), open_side(retokenised, "a")
    aligned = tokenise_corpus(STORIES, other, b, alignment="spans").aligned
    assert aligned is not None
    spans_of_b = replace(aligned, a=aligned.b, span_a=aligned.span_b)
    text = TokenisedCorpus({"a": aligned.b, "b": aligned.b}, spans_of_b)
    collected = collect_activations([a, b], text, trainer_on("auto", progress=False))
    acts_a, acts_b = (text.on_units(label, collected.activations[label].activations) for label in "ab")
    pairs = pair_features(acts_a, acts_b, chosen_rule(matching, a, b), matching)
    filters, units = Filters(), text.units(a)
    space_a = describe_features(a, acts_a, units, filters.top_tokens)
    space_b = describe_features(b, acts_b, units, filters.top_tokens)
    pairing = filter_pairs(pairs, space_a, space_b, filters, special_tokens_of(a, b))
    scores = score_pairs(pairing.pairs, space_a, space_b, DEFAULT_METRICS, NULL, direction=matching.direction)
    return [n_pairs for _, n_pairs in pairing.funnel], [asdict(each) for each in scores.similarity]


def print_row(model: str, compared_on: str, funnel: list[int], similarity: list[Score]) -> None:
    """A line of the table."""
    found = {each["metric"]: each for each in similarity}
    scores = (found[metric] for metric in METRICS.values())
    cells = [f"{each['score']:.3f} ({each['null_mean']:.3f}{_p(each)})" for each in scores]
    print("|", " | ".join([model, compared_on, " > ".join(map(str, funnel)), *cells]), "|", flush=True)


def _p(score: Score) -> str:
    return "" if score["p_value"] is None else f", {score['p_value']:.2g}"


if __name__ == "__main__":
    main()
