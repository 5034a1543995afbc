"""A comparison beside its controls: one row each, so that a score is read against those without features."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from analogue.reporting.compact_table import compact_table
from analogue.reporting.panels import format_number
from analogue.results import ComparisonResult, label
from analogue.results.grids import LayerGrid
from analogue.results.jobs import Job

TITLE = "Controls: EV is explained variance, r the mean correlation of the pairs kept, (...) the mean of the null"


class ControlTable(NamedTuple):
    """The table as plain text.

    Attributes:
        headings: of its columns, the first that of the controls' names.
        rows: a cell for each column.
        jobs: the job of each row.
    """

    headings: list[str]
    rows: list[list[str]]
    jobs: list[Job]


def is_control(result: ComparisonResult) -> bool:
    """Whether a comparison says which control it is, or that it is the real one."""
    return result.config.get("control") is not None


def is_one_control(grid: LayerGrid) -> bool:
    """Whether a grid is a single comparison that is a row of the table of controls."""
    return len(grid.jobs) == 1 and is_control(grid.first)


def control_table(jobs: Sequence[Job]) -> ControlTable | None:
    """A row per job that is a control, or the real comparison, in their order; None without one."""
    named = [job for job in jobs if is_control(job.result)]
    if not named:
        return None
    layers = {(job.result.side_a.layer, job.result.side_b.layer) for job in named}
    scores = list(dict.fromkeys(label(entry) for job in named for entry in job.result.similarity))
    headings = ["control", *(["layers"] if len(layers) > 1 else []), "EV A", "EV B", "pairs", "q<=.05", "r", *scores]
    return ControlTable(headings, [_row(job.result, len(layers) > 1, scores) for job in named], named)


def rendered(found: ControlTable) -> Table:
    """The table for a terminal."""
    table = compact_table(TITLE, found.headings, texts=("control",))
    for row in found.rows:
        table.add_row(*row)
    return table


def _row(result: ComparisonResult, with_layers: bool, scores: Sequence[str]) -> list[str]:
    a, b = result.side_a, result.side_b
    cells = [str(result.config["control"]), *([f"{a.layer}, {b.layer}"] if with_layers else [])]
    cells += [format_number(side.explained_variance, 2) for side in (a, b)]
    beyond_chance = "-" if result.evidence is None else str(result.evidence["n_kept_beyond_chance"])
    cells += [str(result.n_kept), beyond_chance, format_number(result.correlation["mean_kept"], 2)]
    entries = {label(entry): entry for entry in result.similarity}
    for name in scores:
        entry = entries.get(name)
        if entry is None or entry["score"] is None:
            cells.append("-")
            continue
        null = "" if entry["null_mean"] is None else f" ({_two_digits(entry['null_mean'])})"
        cells.append(f"{_two_digits(entry['score'])}{null}")
    return cells


def _two_digits(value: float) -> str:
    return format_number(round(value, 2) + 0.0, 2)  # no -0.00
