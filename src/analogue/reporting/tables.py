"""What the terminal shows: the funnel, the scores, and a sweep layer by layer."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from analogue.reporting.concept_tables import concept_notes, concept_tables
from analogue.reporting.panels import SIGNIFICANT
from analogue.reporting.published_columns import published_counts, published_values
from analogue.reporting.record import ComparisonResult, SideRecord, label


def comparison_tables(result: ComparisonResult) -> Group:
    """The tables of one comparison, and its warnings."""
    reasons = {entry["reason"]: None for entry in result.similarity if entry["score"] is None}
    notes = [*(f"no score: {reason}" for reason in reasons), *result.warnings, *concept_notes(result)]
    warnings = [Text(f"! {note}", style="yellow") for note in notes]
    tables = _sides_table(result), _funnel_table(result), _scores_table(result), *concept_tables(result)
    return Group(*tables, *warnings)


def sweep_table(results: Sequence[ComparisonResult], metric: str) -> Group:
    """Paired score of one metric, rows layer of A, columns layer of B; '*' marks p >= 0.05, '-' a job without score."""
    columns = sorted({result.side_b.layer for result in results})
    title = Text(f"{metric}: paired score, rows layer_a, columns layer_b (* p >= {SIGNIFICANT}, - no score)", "italic")
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    for layer in columns:
        table.add_column(f"{layer} ", justify="right", no_wrap=True)
    cells = {(result.side_a.layer, result.side_b.layer): _cell(result, metric) for result in results}
    for row in sorted({result.side_a.layer for result in results}):
        table.add_row(str(row), *(cells.get((row, column), "") for column in columns))
    return Group(title, table)


def _cell(result: ComparisonResult, metric: str) -> str:
    for entry in result.similarity:
        if label(entry) == metric and entry["score"] is not None:
            return f"{entry['score']:.2f}" + ("*" if entry["p_value"] >= SIGNIFICANT else " ")
    return "- "


def _sides_table(result: ComparisonResult) -> Table:
    table = Table(title=str(result.corpus), title_justify="left")
    for heading in ("", "A", "B"):
        table.add_column(heading, overflow="fold")
    for name, *values in zip(_SIDE_ROWS, _side_column(result.side_a), _side_column(result.side_b), strict=True):
        table.add_row(name, *values)
    return table


_SIDE_ROWS = ("model", "layer", "SAE", "features", "live features", "L0", "explained variance", "activations")


def _side_column(side: SideRecord) -> tuple[str, ...]:
    explained = "-" if side.explained_variance is None else f"{side.explained_variance:.3f}"
    numbers = (str(side.d_sae), str(side.n_live_features), f"{side.l0:.1f}", explained)
    return (side.model, str(side.layer), side.sae, *numbers, "from cache" if side.from_cache else "computed")


def _funnel_table(result: ComparisonResult) -> Table:
    title = f"Feature pairs ({result.rule}, {result.direction})"
    table = Table(title=title, title_justify="left", min_width=len(title))
    table.add_column("after")
    table.add_column("pairs", justify="right")
    published = published_counts(result)
    if published:
        table.add_column("published", overflow="fold")
    for step in result.funnel:
        printed = [published.get(step["filter"], "")] if published else []
        table.add_row(step["filter"], str(step["n_pairs"]), *printed)
    return table


def _scores_table(result: ComparisonResult) -> Table:
    draws = sorted({entry["n_null"] for entry in result.similarity if entry["n_null"]})
    title = f"Similarity of the paired decoder rows, nulls of {' and '.join(map(str, draws)) or 'no'} draws"
    # Numbers cut short mislead, so all columns have to fit into a narrow terminal.
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("metric", "score", "null", "null mean", "null sd", "p-value", "pairs"):
        table.add_column(heading, justify="left" if heading in ("metric", "null") else "right", no_wrap=True)
    published = published_values(result, concept=None)
    if published:
        table.add_column("published", overflow="fold")
    for entry in result.similarity:
        if entry["score"] is None:
            table.add_row(entry["metric"], "-", entry["null"])
            continue
        numbers = (f"{entry[name]:.4f}" for name in ("null_mean", "null_sd", "p_value"))
        score, n_pairs = f"{entry['score']:.4f}", str(entry["n_pairs"])
        printed = [published.get(entry["metric"], "")] if published else []
        table.add_row(entry["metric"], score, entry["null"], *numbers, n_pairs, *printed)
    return table
