"""The numbers that the paper prints, to be set beside ours."""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_EXPERIMENTS = {
    ("EleutherAI/pythia-70m", "EleutherAI/pythia-160m"): "pythia_70m_vs_160m",
    ("google/gemma-2b", "google/gemma-2-2b"): "gemma_1_2b_vs_gemma_2_2b",
    ("meta-llama/Meta-Llama-3-8B-Instruct", "meta-llama/Llama-3.1-8B"): "llama_3_vs_3_1",
}


class PublishedScore(NamedTuple):
    """One printed number.

    Source:
        Lan et al. 2024, arXiv 2410.06981. What it calls SVCCA stands here as `svcca_pc1` and its RSA as
        `rsa_correlation`, for that is what its published code computes.
    """

    source: str
    """Where the paper prints it, such as `Table 1`."""
    setting: str
    """What is particular about it, such as `one-to-one`; empty if nothing is."""
    concept: str | None
    """The semantic subspace; None for the whole space."""
    quantity: str
    """A metric of ours, `n_pairs` (pairs left after filtering) or `mean_cosine`."""
    value: float
    n_pairs: int | None
    null_mean: float | None
    p_value: float | None


def experiment_of(model_a: str, model_b: str) -> str | None:
    """The preset under `conf/experiment` that compares these two models, as the paper did."""
    return _EXPERIMENTS.get((model_a, model_b))


def published_scores(experiment: str | None, layer_a: int, layer_b: int) -> list[PublishedScore]:
    """Everything that the paper prints for a pair of layers, in its order; nothing for what it has not.

    Args:
        experiment: name of a preset under `conf/experiment`, such as `pythia_70m_vs_160m`; None for none.
        layer_a: block of the preset's first model, counted from 0.
        layer_b: block of its second model.

    Example:
        >>> published_scores("llama_3_vs_3_1", 25, 25)[0].value
        0.3
    """
    return _table().get((experiment, layer_a, layer_b), []) if experiment else []


@cache
def _table() -> dict[tuple[str, int, int], list[PublishedScore]]:
    table: dict[tuple[str, int, int], list[PublishedScore]] = {}
    with files("analogue.reporting").joinpath("published.csv").open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            jobs = table.setdefault((row["experiment"], int(row["layer_a"]), int(row["layer_b"])), [])
            jobs.append(
                PublishedScore(
                    source=row["source"],
                    setting=row["setting"],
                    concept=row["concept"] or None,
                    quantity=row["quantity"],
                    value=float(row["value"]),
                    n_pairs=int(row["n_pairs"]) if row["n_pairs"] else None,
                    null_mean=_number(row["null_mean"]),
                    p_value=_number(row["p_value"]),
                )
            )
    return table


def _number(text: str) -> float | None:
    return float(text) if text else None
