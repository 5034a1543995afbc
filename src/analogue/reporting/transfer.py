"""What is shown of features used in the other model: tables, curves for the page, scalars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.table import Table

from analogue.reporting.compact_table import compact_table
from analogue.reporting.panels import format_number
from analogue.results import flatten
from analogue.results.record import TRANSFER_FILE

WAYS = {"a_to_b": "A to B", "b_to_a": "B to A"}
VISITS = {"a_on_b": "A's SAE on B", "b_on_a": "B's SAE on A"}
DICTIONARIES = ("raw", "mapped", "own", "ceiling")
SCATTER = ["correlation", "steering_partner", "steering_mapped", "feature_a", "feature_b"]


def transfer_tables(found: Mapping[str, Any]) -> list[Table]:
    """Maps, dictionaries abroad, mapped decoder rows, interventions and doses: those that were asked for."""
    tables = []
    if "maps" in found:
        tables += [_maps_table(found), _dictionaries_table(found), _rows_table(found)]
    if "interventions" in found:
        tables += [_interventions_table(found), _doses_table(found)]
    return tables


def transfer_details(found: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What the page shows: rows of the tables, the dose curve, and a point per pair whose effects were measured.

    Raises:
        OSError: the pairs cannot be read.
    """
    tables = [
        {
            "title": str(table.title),
            "headings": [str(column.header) for column in table.columns],
            "rows": [list(row) for row in zip(*(map(str, column.cells) for column in table.columns), strict=True)],
        }
        for table in transfer_tables(found)
    ]
    points: list[dict[str, Any]] = []
    if "interventions" in found:
        measured = pq.read_table(directory / TRANSFER_FILE, columns=SCATTER).to_pylist()
        points = [point for point in measured if point["steering_partner"] is not None]
    return {"tables": tables, "doses": found.get("doses", []), "points": points}


def transfer_scalars(found: Mapping[str, Any]) -> dict[str, float | None]:
    """Numbers by name: `transfer/maps/a_to_b/explained_variance`, ..."""
    sections = ("maps", "rotations", "dictionaries", "features_abroad", "features", "interventions", "controls")
    chosen = {name: found[name] for name in (*sections, "hard_negatives") if name in found}
    return {f"transfer/{name.replace('.', '/')}": value for name, value in flatten(chosen).items()}


def _maps_table(found: Mapping[str, Any]) -> Table:
    fit = found["fit"]
    title = f"Maps between the streams, fitted on {fit['n_tokens']} tokens: explained variance on other text"
    table = compact_table(title, ("", "ridge", "there and back", "shuffled", "rotation", "there and back"), texts=("",))
    for way, name in WAYS.items():
        ridge, rotation = found["maps"][way], found["rotations"][way]
        values = [ridge[each] for each in ("explained_variance", "round_trip", "shuffled")]
        values += [rotation[each] for each in ("explained_variance", "round_trip")]
        table.add_row(name, *map(format_number, values))
    return table


def _dictionaries_table(found: Mapping[str, Any]) -> Table:
    title = "Dictionaries abroad: explained variance, cross-entropy recovered, features that fire there too"
    headings = ("", "", "as it is", "through the map", "own SAE", "map alone", "alive")
    table = compact_table(title, headings, texts=("",))
    for visit, name in VISITS.items():
        dictionary, abroad = found["dictionaries"][visit], found["features_abroad"][visit]
        values = [dictionary[each] for each in DICTIONARIES]
        table.add_row(name, "variance", *map(format_number, values), format_number(abroad["alive"]))
        loss = dictionary["cross_entropy_recovered"]
        if loss is not None:
            table.add_row("", "loss", *(format_number(loss[each]) for each in DICTIONARIES))
    return table


def _rows_table(found: Mapping[str, Any]) -> Table:
    rows, hard = found["features"], found["hard_negatives"]["features"]
    title = f"A's decoder rows mapped to B, of {rows['n_pairs']} pairs"
    table = compact_table(title, ("beside", "cosine", "AUC", "closest of all"), texts=("beside",))
    table.add_row("the partner", *(format_number(rows[each]) for each in ("cosine", "auc", "top_1")))
    table.add_row("another pair's partner", format_number(rows["cosine_shuffled"]))
    table.add_row(
        f"hard negatives ({hard['n_pairs']} pairs)", *(format_number(hard[each]) for each in ("cosine", "auc"))
    )
    return table


def _interventions_table(found: Mapping[str, Any]) -> Table:
    interventions = found["interventions"]
    title = f"Effects on the next token in A and B, of {interventions['n_pairs']} pairs"
    headings = ("", "in B", "correlation", "top 1", "top 5", "MRR", "chance", "p-value")
    table = compact_table(title, headings, texts=("", "in B"))
    names = ("correlation", "top_1", "top_5", "mean_reciprocal_rank", "chance", "p_value")
    for kind, verb in (("steering", "added"), ("ablation", "removed")):
        arms = {"partner": interventions[kind]["partner"], "mapped row": interventions[kind]["mapped"]}
        arms["random direction"] = found["controls"][kind]["random"]
        for arm, scores in arms.items():
            table.add_row(verb, arm, *(format_number(scores[name]) for name in names))
            verb = ""
        hard = found["hard_negatives"][kind]
        table.add_row("", f"hard negative ({hard['n_pairs']})", format_number(hard["correlation"]))
    return table


def _doses_table(found: Mapping[str, Any]) -> Table:
    title = "By dose, in multiples of a feature's mean activation"
    headings = ("dose", "effect in A", "effect in B", "correlation", "top 1", "mapped", "top 1")
    table = compact_table(title, headings, texts=())
    for point in found["doses"]:
        sizes = (format_number(point[name]) for name in ("size_a", "size_b"))
        arms = (format_number(point[arm][name]) for arm in ("partner", "mapped") for name in ("correlation", "top_1"))
        table.add_row(f"{point['dose']:g}", *sizes, *arms)
    return table
