"""What the paper prints, as the columns that stand beside ours on the terminal."""

from typing import Any

from analogue.reporting.record import ComparisonResult


def published_values(result: ComparisonResult, concept: str | None) -> dict[str, str]:
    """By metric, of a semantic subspace or of the whole space (None): the value, and where it is printed."""
    of_space = [row for row in result.published if row["concept"] == concept]
    return _joined((row["quantity"], row["value"], row) for row in of_space)


def published_counts(result: ComparisonResult) -> dict[str, str]:
    """Pairs of the whole space by the step of the funnel after which they were counted, and where that is printed."""
    start = result.funnel[0]["filter"]
    of_space = [row for row in result.published if row["concept"] is None and row["filters"] is not None]
    counted = ((row, row["value"] if row["quantity"] == "n_pairs" else row["n_pairs"]) for row in of_space)
    return _joined(([start, *row["filters"]][-1], count, row) for row, count in counted if count is not None)


def _joined(printed: Any) -> dict[str, str]:
    """`0.73 (Appendix A, ManyA-to-1B); ...` for every name, from names, numbers and rows of `published`."""
    texts: dict[str, list[str]] = {}
    for name, value, row in printed:
        where = ", ".join(filter(None, (row["source"], row["setting"])))
        texts.setdefault(name, []).append(f"{value:g} ({where})")
    return {name: "; ".join(each) for name, each in texts.items()}
