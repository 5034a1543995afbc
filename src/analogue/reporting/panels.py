"""The panels of a sweep: the numbers of each heatmap, which matplotlib, the page and W&B draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from analogue.results.grids import LayerGrid

SIGNIFICANT = 0.05
DOUBTFUL = "?"  # follows a score whose p-value is not below SIGNIFICANT; an asterisk would say the opposite
RECOMMENDED = ("rsa", "cka_debiased", "svcca_cross_validated")
"""Scores that can be read as a degree of similarity, by docs/validity.md: these come first."""


@dataclass(frozen=True)
class Panel:
    """One heatmap: rows layer of A, columns layer of B, NaN where there is no number.

    Attributes:
        digits: decimals shown.
        limits: ends of the colour scale.
        descending: small values are the bright ones.
        marked: cells to mark as doubtful.
    """

    title: str
    values: Float64[np.ndarray, "rows columns"]
    digits: int
    limits: tuple[float, float]
    descending: bool = False
    marked: Bool[np.ndarray, "rows columns"] | None = None

    def cells(self, significant_digits: int | None = None) -> list[list[float | None]]:
        """Rows of numbers, rounded to the digits given, if any; None where there is no number."""
        return [[_number(value, significant_digits) for value in row] for row in self.values.tolist()]


def format_number(value: float | None, digits: int = 3) -> str:
    """A number with that many decimals; `-` if there is none."""
    return "-" if value is None else f"{value:z.{digits}f}"  # no -0.000


def panel_groups(grid: LayerGrid) -> dict[str, list[Panel]]:
    """Panels by group: one per metric, `pairs`, `transfer`, `concepts_...` per metric of the subspaces, `published`."""
    own = {metric: metric_panels(grid, metric) for metric in leading_first(grid.metrics)} | {"pairs": pair_panels(grid)}
    abroad = transfer_panels(grid)
    own |= {"transfer": abroad} if abroad else {}
    if grid.concepts:
        own |= {f"concepts_{metric}": concept_panels(grid, metric) for metric in _tested(grid)}
    published = published_panels(grid)
    return own | ({"published": published} if published else {})


def leading_first(labels: Sequence[str]) -> list[str]:
    """Labels of scores, the recommended ones first."""
    return sorted(labels, key=lambda each: RECOMMENDED.index(each) if each in RECOMMENDED else len(RECOMMENDED))


def metric_panels(grid: LayerGrid, metric: str) -> list[Panel]:
    """Score above the mean of its null, score, that mean and, of a test, p-values, raw and corrected for the cells.

    p-values that are the same in all cells are shown as a line instead of a map: see `p_value_line`.
    """
    score, null_mean, p = (grid.scores(metric, name) for name in ("score", "null_mean", "p_value"))
    adjusted, excess = grid.adjusted_p_values(metric), score - null_mean
    limits = _ends(np.stack([score, null_mean]))  # one scale, so that the two can be compared by eye
    from_null = _ends(np.append(excess, 0.0))
    described = [
        Panel(f"{metric}, above the mean of its null", excess, 2, from_null, marked=p >= SIGNIFICANT),
        Panel(f"{metric}, paired score", score, 2, limits, marked=p >= SIGNIFICANT),
        Panel(f"{metric}, mean of the null", null_mean, 2, limits),
    ]
    if len(_distinct(p)) <= 1:
        return described
    return [
        *described,
        Panel(f"{metric}, p-value", p, 3, (0.0, 1.0), descending=True),
        Panel(f"{metric}, p-value, Benjamini-Hochberg", adjusted, 3, (0.0, 1.0), descending=True),
    ]


def p_value_line(grid: LayerGrid, metric: str) -> str | None:
    """The p-value of a score, if it is the same in all cells; None if not, or if there is no test."""
    p = grid.scores(metric, "p_value")
    if len(_distinct(p)) != 1:
        return None
    n = int(np.isfinite(p).sum())
    where = ("the one cell" if n == 1 else f"all {n} cells") + ("" if n == p.size else " with a score")
    corrected = "" if n == 1 else ", also after Benjamini-Hochberg"
    least = {1 / (1 + n_null) for n_null in _distinct(grid.scores(metric, "n_null"))}
    bound = ", the least that its draws can give" if least == set(_distinct(p)) else ""
    return f"{metric}: p = {_distinct(p)[0]:.2g} in {where}{corrected}{bound}"


def concept_panels(grid: LayerGrid, metric: str) -> list[Panel]:
    """Paired score of each semantic subspace, marked where either test's p is 0.05 or more (Figures 15 to 22)."""
    read = (metric, "score"), (metric, "p_value"), (f"{metric}_vs_random_subset", "p_value")
    found = {concept: [grid.scores(each, name, concept) for each, name in read] for concept in grid.concepts}
    limits = _ends(np.stack([score for score, *_ in found.values()]))
    return [
        Panel(f"{concept}: {metric}, paired score", score, 2, limits, marked=np.fmax(*p_values) >= SIGNIFICANT)
        for concept, (score, *p_values) in found.items()
    ]


def pair_panels(grid: LayerGrid) -> list[Panel]:
    """Mean activation correlation before and after filtering, and how many pairs the filters leave."""
    before, after = (grid.values(lambda result, name=name: result.correlation[name]) for name in ("mean", "mean_kept"))
    all_pairs, kept = grid.values(lambda result: result.funnel[0]["n_pairs"]), grid.values(lambda result: result.n_kept)
    limits = _ends(np.stack([before, after]))
    found = grid.values(lambda result: result.evidence and result.evidence["a"]["n_beyond_chance"])
    other = grid.values(lambda result: result.evidence and result.evidence["b"]["n_beyond_chance"])
    evidence = [
        Panel(f"features of {side} with a partner beyond chance", values, 0, (0.0, _ends(values)[1]))
        for side, values in (("A", found), ("B", other))
        if np.isfinite(values).any()
    ]
    return [
        *evidence,
        Panel("mean correlation, all pairs", before, 2, limits),
        Panel("mean correlation, pairs kept", after, 2, limits),
        Panel("pairs before filtering", all_pairs, 0, (0.0, _ends(all_pairs)[1])),
        Panel("pairs kept", kept, 0, (0.0, _ends(all_pairs)[1])),
    ]


def transfer_panels(grid: LayerGrid) -> list[Panel]:
    """What maps and dictionaries explain in the other model, and how often a feature's effect finds its partner."""
    shares = {
        "map from A to B, explained variance": ("maps", "a_to_b", "explained_variance"),
        "map from B to A, explained variance": ("maps", "b_to_a", "explained_variance"),
        "A's SAE on B through the map, explained variance": ("dictionaries", "a_on_b", "mapped"),
        "B's SAE on A through the map, explained variance": ("dictionaries", "b_on_a", "mapped"),
        "mapped decoder rows, cosine with the partner": ("features", "cosine"),
        "steering, partner found first": ("interventions", "steering", "partner", "top_1"),
        "steering, mapped row found first": ("interventions", "steering", "mapped", "top_1"),
    }
    panels = []
    for title, place in shares.items():
        values = grid.values(lambda result, place=place: _found(result.transfer, place))
        if np.isfinite(values).any():
            panels.append(Panel(title, values, 2, (0.0, 1.0)))
    return panels


def published_panels(grid: LayerGrid) -> list[Panel]:
    """The paper's numbers of whole feature spaces for the same comparisons, one panel per table of the paper."""
    tables: dict[tuple[str, str, str], np.ndarray] = {}
    for (row, column), job in grid.jobs.items():
        for printed in job.result.published:
            if printed["concept"] is None:
                empty = np.full((len(grid.rows), len(grid.columns)), np.nan)
                values = tables.setdefault((printed["quantity"], printed["source"], printed["setting"]), empty)
                values[grid.rows.index(row), grid.columns.index(column)] = printed["value"]
    return [
        Panel(
            ", ".join(filter(None, (f"published {quantity}", source, setting))),
            values,
            digits=0 if quantity == "n_pairs" else 2,
            limits=(0.0, _ends(values)[1] if quantity == "n_pairs" else 1.0),
        )
        for (quantity, source, setting), values in tables.items()
    ]


def _found(record: Any, place: tuple[str, ...]) -> float | None:
    """A number of a record by the names that lead to it; None where there is none."""
    for name in place:
        record = (record or {}).get(name)
    return record


def _tested(grid: LayerGrid) -> list[str]:
    """Metrics of the semantic subspaces."""
    concepts = (each for job in grid.jobs.values() for each in job.result.concepts)
    return list(dict.fromkeys(entry["metric"] for each in concepts for entry in each["similarity"]))


def _distinct(values: np.ndarray) -> list[float]:
    return np.unique(values[np.isfinite(values)]).tolist()


def _ends(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _number(value: float, significant_digits: int | None) -> float | None:
    if not math.isfinite(value):
        return None
    return value if significant_digits is None else float(f"{value:.{significant_digits}g}")
