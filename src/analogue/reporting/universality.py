"""Many spaces as something to look at: tables for the terminal, figures, and one page that needs only a browser."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Group
from rich.table import Table
from rich.text import Text

from analogue.reporting.compact_table import compact_table
from analogue.reporting.pages import write_data_page
from analogue.reporting.universality_figures import branches, save_figures
from analogue.results.universality import CLUSTERS_FILE, FEATURES_FILE, UniversalityResult

PAGE_FILE = "universality.html"
MOST_CLUSTERS, MOST_EXCLUSIVE = 4000, 500  # on the page; the tables have all
MOST_COLUMNS = 7
_MEMBER = ("space", "feature", "correlation", "n_active", "top_tokens", "contexts")


def universality_tables(result: UniversalityResult) -> Group:
    """The spectrum, the kinds of features, what changes from space to space, and warnings."""
    tables = [_spectrum_table(result), _kinds_table(result), *([_changes_table(result)] if result.changes else [])]
    return Group(*tables, *(Text(f"! {warning}", style="yellow") for warning in result.warnings))


def save_universality(result: UniversalityResult, tables: Mapping[str, pa.Table], directory: Path) -> list[Path]:
    """Write `universality.html` and the figures into a directory; returns the PNG files."""
    figures = save_figures(result, directory)
    save_page(result, tables, directory / PAGE_FILE)
    return figures


def save_page(result: UniversalityResult, tables: Mapping[str, pa.Table], path: Path) -> None:
    """Write the page: spectrum, matrices, tree and map, flow, and a list of clusters to search; self-contained."""
    clusters = _clusters(tables[CLUSTERS_FILE])
    exclusive = _exclusive(tables[FEATURES_FILE])
    data = {
        "names": result.names,
        "corpus": _corpus_text(result),
        "spectrum": result.spectrum,
        "by_chance": result.spectrum_by_chance,
        "kinds": result.kinds,
        "matrices": result.matrices,
        "branches": branches(result.tree, len(result.names)),
        "places": result.places,
        "shown": result.shown,
        "changes": result.changes,
        "live": [sum(row) for row in result.spectrum],
        "clusters": clusters[:MOST_CLUSTERS],
        "n_clusters": len(clusters),
        "exclusive": exclusive[:MOST_EXCLUSIVE],
        "n_exclusive": len(exclusive),
        "warnings": result.warnings,
    }
    write_data_page("universality", ["report", "universality"], data, path)


def _clusters(table: pa.Table) -> list[list[Any]]:
    """Size, strength, stability, low and high end of the size, and members; the largest and strongest first."""
    found = []
    for number, rows in groupby(table.to_pylist(), key=lambda row: row["cluster"]):
        members = list(rows)
        first = members[0]
        about = [None if first[name] is None else round(first[name], 3) for name in ("strength", "stability")]
        ends = [None if first[name] is None else round(first[name], 1) for name in ("size_low", "size_high")]
        shown = [[round(row[name], 3) if name == "correlation" else row[name] for name in _MEMBER] for row in members]
        found.append([number, first["size"], *about, *ends, shown])
    return sorted(found, key=lambda each: (-each[1], -each[2]))


def _exclusive(table: pa.Table) -> list[list[Any]]:
    """Space, feature, firing count and top tokens of exclusive features, the most frequent first."""
    rows = [row for row in table.to_pylist() if row["kind"] == "exclusive"]
    rows.sort(key=lambda row: -row["n_active"])
    return [[row[name] for name in ("space", "feature", "n_active", "top_tokens")] for row in rows]


def _corpus_text(result: UniversalityResult) -> str:
    corpus = result.corpus
    units = "spans" if corpus["spans"] else "tokens"
    settings = result.clustering
    text = f"{corpus['n_units']} {units} in {corpus['n_sequences']} sequences of {corpus['path']}"
    return f"{text}; partners beyond chance at q ≤ {settings['q']}, {settings['n_draws']} draws per pair of spaces"


def _spectrum_table(result: UniversalityResult) -> Table:
    n, ends = len(result.names), _columns(len(result.names))

    def shown(counts: Sequence[float]) -> list[float]:
        return [sum(counts[low - 1 : high]) for low, high in ends]

    title = f"Live features by the number of spaces that they are in; {_corpus_text(result)}"
    table = compact_table(
        title, ["space", *(f"{a}-{b}" if b > a else str(a) for a, b in ends), "shared"], texts=["space"]
    )
    for name, counts in zip(result.names, result.spectrum, strict=True):
        table.add_row(name, *(f"{count:.0f}" for count in shown(counts)), _percent(sum(counts[1:]), sum(counts)))
    if result.spectrum_by_chance:
        means = [sum(column) / n for column in zip(*result.spectrum_by_chance["mean"], strict=True)]
        share = _percent(sum(means[1:]), sum(means))
        table.add_row("permuted sequences, mean", *(f"{mean:.1f}" for mean in shown(means)), share)
    clusters = [0, *(result.n_clusters[str(size)] for size in range(2, n + 1))]
    table.add_row("clusters", "", *(f"{count:.0f}" for count in shown(clusters)[1:]), "")
    return table


def _columns(n: int) -> list[tuple[int, int]]:
    """Numbers of spaces, each a column; of many spaces some share one, so that a terminal shows all."""
    if n <= MOST_COLUMNS:
        return [(k, k) for k in range(1, n + 1)]
    middle = 3 + (n - 3) // 2
    return [(1, 1), (2, 2), (3, middle), (middle + 1, n - 1), (n, n)]


def _kinds_table(result: UniversalityResult) -> Table:
    kinds = [*result.kinds[0]]
    title = "What live features are: shared; related to one elsewhere; exclusive; too rare to tell"
    table = compact_table(title, ["space", *kinds], texts=["space"])
    for name, counts in zip(result.names, result.kinds, strict=True):
        table.add_row(name, *(str(counts[kind]) for kind in kinds))
    return table


def _changes_table(result: UniversalityResult) -> Table:
    names = ("stays", "splits", "merges", "disappears", "appears")
    table = compact_table("From each space to the next", ["from", "to", *names], texts=["from", "to"])
    for column in table.columns[:2]:
        column.no_wrap = False  # long names take a second line, so that numbers and headings stay whole
    for one, other, change in zip(result.names, result.names[1:], result.changes, strict=False):
        counts = (len(change[name]) if isinstance(change[name], list) else change[name] for name in names)
        table.add_row(one, other, *map(str, counts))
    return table


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"
