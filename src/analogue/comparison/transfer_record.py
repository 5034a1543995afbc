"""What was found of features in the other model, as records and columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from analogue.comparison.interventions import ARMS, Effects
from analogue.transfer import MappedRows, effect_correlations, effect_size, ranks, retrieval

N_NULL = 1000
Record = dict[str, Any]


def map_records(explained: Mapping[str, float]) -> Record:
    """`maps`, the ridge regressions, and `rotations`."""
    ways = ("a_to_b", "b_to_a")
    maps = {
        way: {name: explained[f"{way}/{name}"] for name in ("explained_variance", "shuffled", "round_trip")}
        for way in ways
    }
    rotations = {
        way: {
            "explained_variance": explained[f"{way}/rotation"],
            "round_trip": explained[f"{way}/rotation_round_trip"],
        }
        for way in ways
    }
    return {
        "maps": {way: finite(each) for way, each in maps.items()},
        "rotations": {way: finite(each) for way, each in rotations.items()},
    }


def feature_record(rows: MappedRows, shuffled: float) -> Record:
    """Mapped decoder rows against their partners', averaged over pairs."""
    values = {"cosine": mean_of(rows.cosine), "cosine_shuffled": shuffled, "auc": mean_of(rows.auc)}
    values["top_1"] = mean_of((rows.rank == 1).astype(float))
    return {"n_pairs": len(rows.cosine)} | finite(values)


def hard_record(rows: MappedRows) -> Record:
    """The same against hard negatives, over the pairs that have some."""
    values = {"cosine": mean_of(rows.cosine_hard), "auc": mean_of(rows.auc_hard)}
    return {"n_pairs": int((rows.n_hard > 0).sum())} | finite(values)


def row_columns(rows: MappedRows) -> dict[str, np.ndarray]:
    """Columns of `transfer.parquet` about decoder rows."""
    names = {"cosine": "cosine", "rank": "cosine_rank", "auc": "auc", "n_hard": "n_hard_negatives"}
    names |= {"cosine_hard": "cosine_hard", "auc_hard": "auc_hard"}
    return {column: getattr(rows, name) for name, column in names.items()}


@dataclass(frozen=True, eq=False)
class Intervention:
    """What one kind of intervention found.

    Attributes:
        records: a summary by arm of B.
        hard: how partners do beside their hard negatives.
        curve: a record per dose.
        correlation: (n,) of A's effect with that of each arm.
        rank: (n,) of the partner by the effect of each arm.
        by_dose: (n, n_doses) correlation with the partner's effect.
        n_contexts: (n,) contexts of each pair.
    """

    records: dict[str, Record]
    hard: Record
    curve: list[Record]
    correlation: dict[str, Float64[np.ndarray, " n"]]
    rank: dict[str, Float64[np.ndarray, " n"]]
    by_dose: Float64[np.ndarray, "n n_doses"]
    n_contexts: Int64[np.ndarray, " n"]


def summarised(effects: Effects, doses: Sequence[float], seed: int) -> Intervention:
    """Summaries over all doses: the correlations of effects at each dose are averaged."""
    by_dose = np.array(
        [[effect_correlations(effects.a[d], of_arm[d]) for d in range(len(doses))] for of_arm in effects.b]
    )  # (n_arms, n_doses, n, n)
    over_doses = dict(zip(ARMS, by_dose.mean(1), strict=True))
    correlation = {arm: np.diagonal(each).copy() for arm, each in over_doses.items()}
    records = {arm: _retrieval_record(over_doses[arm], seed) for arm in ARMS[:3]}
    curve = []
    for d, dose in enumerate(doses):
        point: Record = {"dose": dose} | finite(
            {"size_a": mean_of(effect_size(effects.a[d])), "size_b": mean_of(effect_size(effects.b[0, d]))}
        )
        for arm, of_arm in zip(ARMS[:3], by_dose, strict=False):
            found = retrieval(of_arm[d], 1, seed)
            point[arm] = finite({"correlation": found.correlation, "top_1": found.top_1})
        curve.append(point)
    partner, hard = correlation["partner"], correlation["hard"]
    there = np.isfinite(partner) & np.isfinite(hard)
    beside = {"correlation": mean_of(hard[there]), "partner": mean_of(partner[there])}
    beside["beaten"] = mean_of((partner > hard)[there].astype(float))
    return Intervention(
        records,
        {"n_pairs": int(there.sum())} | finite(beside),
        curve,
        correlation,
        {arm: ranks(over_doses[arm]) for arm in ARMS[:2]},
        np.diagonal(by_dose[0], axis1=1, axis2=2).T,
        effects.n_contexts,
    )


def _retrieval_record(correlations: Float64[np.ndarray, "n n"], seed: int) -> Record:
    found = retrieval(correlations, N_NULL, seed)._asdict()
    names = ("correlation", "top_1", "top_5", "mean_reciprocal_rank", "chance", "p_value")
    return finite({name: found[name] for name in names})


def effect_columns(name: str, found: Intervention, places: Int64[np.ndarray, " n"], n_kept: int) -> dict[str, Any]:
    """Columns of one kind of intervention; null for pairs that were not chosen."""
    columns = {f"{name}_{arm}": each for arm, each in found.correlation.items()}
    columns |= {f"{name}_rank_{arm}": each for arm, each in found.rank.items()}
    columns[f"{name}_contexts"] = found.n_contexts.astype(float)
    spread: dict[str, Any] = {}
    for column, values in columns.items():
        spread[column] = np.full(n_kept, np.nan)
        spread[column][places] = values
    if name == "steering":
        doses: list[list[float] | None] = [None] * n_kept
        for place, values in zip(places, found.by_dose, strict=True):
            doses[place] = [float(value) for value in values]
        spread["steering_by_dose"] = doses
    return spread


def mean_of(values: np.ndarray) -> float:
    """The mean of the numbers among values; NaN without any."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def finite(values: Mapping[str, float | None]) -> Record:
    """Values as a record keeps them: None for what is no number."""
    return {name: None if value is None or not np.isfinite(value) else value for name, value in values.items()}
