"""The numbers that the paper prints, to be set beside ours."""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


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


def published_scores(experiment: str, layer_a: int, layer_b: int) -> list[PublishedScore]:
    """Everything that the paper prints for a pair of layers, in its order; nothing for what it has not.

    Args:
        experiment: name of a preset under `conf/experiment`, such as `pythia_70m_vs_160m`.
        layer_a: block of the preset's first model, counted from 0.
        layer_b: block of its second model.

    Example:
        >>> published_scores("llama_3_vs_3_1", 25, 25)[0].value
        0.3
    """
    return _table().get((experiment, layer_a, layer_b), [])


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
