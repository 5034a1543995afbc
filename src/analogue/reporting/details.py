"""What the report shows of one job when its cell is clicked."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analogue.reporting.files import NULLS_FILE, PAIRS_FILE
from analogue.reporting.grids import pair, protocol
from analogue.reporting.jobs import Job
from analogue.reporting.record import SideRecord, label

N_PAIRS_SHOWN = 8
N_BINS = 24
PAIR_COLUMNS = ["feature_a", "feature_b", "correlation", "n_active_a", "n_active_b", "top_tokens_a", "top_tokens_b"]
CONTEXTS = ["context_a", "context_b"]
_NO_PAIRS = pa.table({name: pa.array([], pa.int64()) for name in (*PAIR_COLUMNS, *CONTEXTS)})


def job_details(job: Job) -> dict[str, Any]:
    """A job for the page: sides, funnel, scores with their nulls, best and worst pairs, firing counts."""
    result = job.result
    kept, draws, damage = _tables(job)
    best = kept.sort_by([("correlation", "descending"), ("feature_a", "ascending")])
    n_worst = min(N_PAIRS_SHOWN, max(0, len(best) - N_PAIRS_SHOWN))
    return {
        "name": job.name,
        "title": f"{pair(result)}, layers {result.side_a.layer} and {result.side_b.layer}",
        "protocol": protocol(result),
        "sides": [_side(result.side_a), _side(result.side_b)],
        "funnel": [[step["filter"], step["n_pairs"]] for step in result.funnel],
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
    """Kept pairs and draws, and which of their files is damaged: the rest of the job can be shown without it."""
    kept, draws, damage = _NO_PAIRS, {}, []
    try:
        kept = _kept_pairs(job)
    except (OSError, pa.ArrowException):
        damage.append(f"{PAIRS_FILE} is not readable; no pair is shown")
    try:
        draws = _draws(job)
    except (OSError, pa.ArrowException):
        damage.append(f"{NULLS_FILE} is not readable; no draw is shown")
    return kept, draws, damage


def _kept_pairs(job: Job) -> pa.Table:
    columns = [*PAIR_COLUMNS, *CONTEXTS]
    return pq.read_table(job.directory / PAIRS_FILE, columns=columns, filters=pc.field("kept"))


def _draws(job: Job) -> dict[str, np.ndarray]:
    """The draws of each metric's null, where the job kept them."""
    path = job.directory / NULLS_FILE
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    return {name: table[name].drop_null().to_numpy() for name in table.column_names}


def _side(side: SideRecord) -> list[str]:
    explained = "-" if side.explained_variance is None else f"{side.explained_variance:.3f}"
    return [
        side.model,
        str(side.layer),
        side.sae,
        f"{side.d_sae}",
        f"{side.n_live_features}",
        f"{side.l0:.1f}",
        explained,
    ]


def _score(entry: dict[str, Any], draws: np.ndarray | None) -> dict[str, Any]:
    shown = ("metric", "score", "null", "null_mean", "null_sd", "p_value", "n_pairs", "n_null", "reason")
    score = {name: entry[name] for name in shown} | {"label": label(entry)}
    finite = draws[np.isfinite(draws)] if draws is not None else np.empty(0)
    if not finite.size:
        return score
    counts, edges = np.histogram(finite, bins=N_BINS)
    return score | {"histogram": {"counts": counts.tolist(), "start": float(edges[0]), "end": float(edges[-1])}}


def _concept(concept: dict[str, Any]) -> list[Any]:
    """Name, features of A and B, pairs; then for each test of each metric its label, score, null mean and p-value."""
    counts = [concept[name] for name in ("name", "n_features_a", "n_features_b", "n_pairs")]
    tests = [
        [label(entry), *(entry[name] for name in ("score", "null_mean", "p_value"))] for entry in concept["similarity"]
    ]
    return [*counts, tests]


def _firing_counts(kept: pa.Table) -> dict[str, list[int]]:
    """How many kept pairs have a feature that fires on 1, 2-3, 4-7, ... tokens; from 1 on, doubling."""
    counts = {side: kept[f"n_active_{side}"].to_numpy() for side in "ab"}
    top = max((int(values.max()) for values in counts.values() if len(values)), default=1)
    edges = 2 ** np.arange(top.bit_length() + 1)
    return {side: np.histogram(values, bins=edges)[0].tolist() for side, values in counts.items()}


def _rows(pairs: pa.Table) -> list[list[Any]]:
    return [
        [row[name] if name != "correlation" else round(row[name], 4) for name in (*PAIR_COLUMNS, *CONTEXTS)]
        for row in pairs.to_pylist()
    ]
