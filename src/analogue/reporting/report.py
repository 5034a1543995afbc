"""A sweep as one page that needs nothing but a browser."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analogue.reporting.controls import TITLE, control_table, is_one_control
from analogue.reporting.pages import write_data_page
from analogue.reporting.panels import Panel, leading_first, p_value_line, panel_groups
from analogue.reporting.tables import side_texts
from analogue.reporting.transfer import transfer_details
from analogue.results import label
from analogue.results.grids import LayerGrid, pair, protocol
from analogue.results.job_tables import read_nulls, read_pairs
from analogue.results.jobs import Failure, Job
from analogue.results.record import EXPLORER_FILE, NULLS_FILE, PAIRS_FILE, TRANSFER_FILE

N_PAIRS_SHOWN = 8
N_BINS = 24
PAIR_COLUMNS = ["feature_a", "feature_b", "correlation", "n_active_a", "n_active_b", "top_tokens_a", "top_tokens_b"]
CONTEXTS = ["context_a", "context_b"]
EVIDENCE = ["p_value", "q_value"]
_NO_PAIRS = pa.table({name: pa.array([], pa.int64()) for name in (*PAIR_COLUMNS, *CONTEXTS)})


def save_report(grids: Sequence[LayerGrid], failures: Mapping[str, Failure], path: Path) -> None:
    """Write `report.html`: heatmaps of every grid, and every job behind its cell; self-contained."""
    numbers: dict[str, int] = {}
    for grid in grids:
        for job in grid.jobs.values():
            numbers[job.name] = len(numbers)
    data = {
        "grids": [_grid(grid, numbers) for grid in grids if not is_one_control(grid)],
        "controls": _controls(grids, numbers),
        "jobs": [
            job_details(job) | _explorer(job, path) | {"setting": grid.setting}
            for grid in grids
            for job in grid.jobs.values()
        ],
        "metrics": leading_first(list(dict.fromkeys(name for grid in grids for name in grid.metrics))),
        "failures": [[name, failure.error] for name, failure in failures.items()],
    }
    write_data_page("report", ["report"], data, path, ["jobs_table", "report"])


def _explorer(job: Job, page: Path) -> dict[str, str]:
    """The path of the job's explorer relative to the page, if it has been made."""
    explorer = job.directory / EXPLORER_FILE
    if not explorer.is_file():
        return {}
    return {"explorer": quote(Path(os.path.relpath(explorer.resolve(), page.resolve().parent)).as_posix())}


def _grid(grid: LayerGrid, numbers: Mapping[str, int]) -> dict[str, Any]:
    jobs = [[grid.jobs.get((row, column)) for column in grid.columns] for row in grid.rows]
    return {
        "title": grid.title,
        "protocol": protocol(grid.first),
        "rows": grid.rows,
        "columns": grid.columns,
        "axes": grid.axes,
        "jobs": [[numbers[job.name] if job else None for job in row] for row in jobs],
        "groups": {name: [_panel(panel) for panel in panels] for name, panels in panel_groups(grid).items()},
        "lines": {metric: line for metric in grid.metrics if (line := p_value_line(grid, metric)) is not None},
    }


def _controls(grids: Sequence[LayerGrid], numbers: Mapping[str, int]) -> dict[str, Any] | None:
    found = control_table([job for grid in grids for job in grid.jobs.values()])
    if found is None:
        return None
    jobs = [numbers[job.name] for job in found.jobs]
    return {"title": TITLE, "headings": found.headings, "rows": found.rows, "jobs": jobs}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "values": panel.cells(significant_digits=6),
        "digits": panel.digits,
        "limits": panel.limits,
        "descending": panel.descending,
        "marked": None if panel.marked is None else panel.marked.tolist(),
    }


def job_details(job: Job) -> dict[str, Any]:
    """What the page shows of a job: sides, funnel, scores with their nulls, best and worst pairs, firing counts."""
    result = job.result
    kept, draws, damage = _tables(job)
    abroad = None
    try:
        abroad = transfer_details(result.transfer, job.directory) if result.transfer else None
    except (OSError, pa.ArrowException):
        damage.append(f"{TRANSFER_FILE} is not readable; nothing is shown of features in the other model")
    best = kept.sort_by([("correlation", "descending"), ("feature_a", "ascending")])
    n_worst = min(N_PAIRS_SHOWN, max(0, len(best) - N_PAIRS_SHOWN))
    return {
        "name": job.name,
        "title": f"{pair(result)}, layers {result.side_a.layer} and {result.side_b.layer}",
        "layers": [result.side_a.layer, result.side_b.layer],
        "correlation": result.correlation["mean_kept"],
        "protocol": protocol(result),
        "sides": [side_texts(result.side_a), side_texts(result.side_b)],
        "funnel": [[step["filter"], step["n_pairs"]] for step in result.funnel],
        "evidence": result.evidence,
        "transfer": abroad,
        "similarity": [_score(entry, draws.get(label(entry))) for entry in result.similarity],
        "concepts": [_concept(concept) for concept in result.concepts],
        "published": [
            [each["concept"] or "whole space", each["quantity"], each["value"], f"{each['source']} {each['setting']}"]
            for each in result.published
        ],
        "best": _rows(best.slice(0, N_PAIRS_SHOWN)),
        "worst": _rows(best.slice(len(best) - n_worst)),
        "firing": _firing_counts(kept),
        "warnings": [*result.warnings, *damage],
    }


def _tables(job: Job) -> tuple[pa.Table, dict[str, np.ndarray], list[str]]:
    """Kept pairs, draws by label, and a warning per damaged file: the rest of the job can be shown without it."""
    kept, draws, damage = _NO_PAIRS, {}, []
    try:
        columns = [*PAIR_COLUMNS, *CONTEXTS, *(EVIDENCE if job.result.evidence else [])]
        kept = read_pairs(job.directory / PAIRS_FILE, [*columns, "kept"]).filter(pc.field("kept")).drop("kept")
    except ValueError as error:
        damage.append(f"no pair is shown: {error}")
    try:
        if (job.directory / NULLS_FILE).is_file():  # a job may have kept no draws
            table = read_nulls(job.directory / NULLS_FILE)
            draws = {name: table[name].drop_null().to_numpy() for name in table.column_names}
    except ValueError as error:
        damage.append(f"no draw is shown: {error}")
    return kept, draws, damage


def _score(entry: dict[str, Any], draws: np.ndarray | None) -> dict[str, Any]:
    shown = ("metric", "score", "null", "null_mean", "null_sd", "z", "p_value", "n_pairs", "n_null", "reason")
    score = {name: entry[name] for name in shown} | {"label": label(entry)}
    finite = draws[np.isfinite(draws)] if draws is not None else np.empty(0)
    if not finite.size:
        return score
    counts, edges = np.histogram(finite, bins=N_BINS)
    return score | {"histogram": {"counts": counts.tolist(), "start": float(edges[0]), "end": float(edges[-1])}}


def _concept(concept: dict[str, Any]) -> list[Any]:
    """Name, features of A and B, pairs; then label, score, null mean and p-value of each test."""
    counts = [concept[name] for name in ("name", "n_features_a", "n_features_b", "n_pairs")]
    tests = [
        [label(entry), *(entry[name] for name in ("score", "null_mean", "p_value"))] for entry in concept["similarity"]
    ]
    return [*counts, tests]


def _firing_counts(kept: pa.Table) -> dict[str, list[int]]:
    """Number of kept pairs whose feature fires on 1, 2-3, 4-7, ... tokens, per side."""
    counts = {side: kept[f"n_active_{side}"].to_numpy() for side in "ab"}
    top = max((int(values.max()) for values in counts.values() if len(values)), default=1)
    edges = 2 ** np.arange(top.bit_length() + 1)
    return {side: np.histogram(values, bins=edges)[0].tolist() for side, values in counts.items()}


def _rows(pairs: pa.Table) -> list[list[Any]]:
    return [
        [row[name] if name != "correlation" else round(row[name], 4) for name in (*PAIR_COLUMNS, *CONTEXTS)]
        + [row.get(name) for name in EVIDENCE]
        for row in pairs.to_pylist()
    ]
