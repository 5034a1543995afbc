"""Semantic subspaces on the terminal, in the form of the paper's Tables 1 and 3."""

import re
from typing import Any, NamedTuple

from rich.table import Table

from analogue.reporting.published_columns import published_values
from analogue.reporting.record import ComparisonResult

N_KEYWORDS_SHOWN = 6
_NUMBER = re.compile(r"(?<!\w)\d+(?:\.\d+)?")
_HEADINGS = ("concept", "in A", "in B", "pairs", "score", "null 1", "p 1", "null 2", "p 2")


class _Note(NamedTuple):
    text: str
    metric: str
    concept: str


def concept_tables(result: ComparisonResult) -> list[Table]:
    """A table for each metric (Table 1) and one of the keywords that were found (Table 3); none without concepts."""
    if not result.concepts:
        return []
    metrics = dict.fromkeys(entry["metric"] for entry in result.concepts[0]["similarity"])
    return [*(_scores_table(result, metric) for metric in metrics), _keywords_table(result.concepts)]


def concept_notes(result: ComparisonResult) -> list[str]:
    """What a reader of the subspaces' scores should know, once for all that it is true of: `2-14 pairs`."""
    alike: dict[str, list[_Note]] = {}
    for concept in result.concepts:
        for entry in concept["similarity"]:
            for note in [*entry["warnings"], *filter(None, [entry["reason"]])]:
                alike.setdefault(_NUMBER.sub("", note), []).append(_Note(note, entry["metric"], concept["name"]))
    return [_merged(notes) for notes in alike.values()]


def _merged(notes: list[_Note]) -> str:
    """Notes that differ in their numbers alone as one, with the range of each number."""
    numbers = zip(*(_NUMBER.findall(note.text) for note in notes), strict=True)
    ranges = map(_range, numbers)
    text = _NUMBER.sub(lambda _: next(ranges), notes[0].text)
    metrics = dict.fromkeys(note.metric for note in notes)
    concepts = dict.fromkeys(note.concept for note in notes)
    return f"{', '.join(metrics)}: {text} ({', '.join(concepts)})"


def _range(numbers: tuple[str, ...]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if low == high else f"{low}-{high}"


def _scores_table(result: ComparisonResult, metric: str) -> Table:
    n_draws = max(entry["n_null"] for concept in result.concepts for entry in concept["similarity"])
    title = f"Semantic subspaces: {metric} (Test 1: shuffled pairs, Test 2: random subsets, {n_draws} draws)"
    table = Table(title=title, title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "concept" else "right", no_wrap=True)
    published = {concept["name"]: published_values(result, concept["name"]) for concept in result.concepts}
    if any(metric in printed for printed in published.values()):
        table.add_column("published", overflow="fold")
    for concept in result.concepts:
        tests = {entry["null"]: entry for entry in concept["similarity"] if entry["metric"] == metric}
        counts = (str(concept[name]) for name in ("n_features_a", "n_features_b", "n_pairs"))
        score = _number(tests["shuffle"]["score"])
        nulls = (_number(tests[null][name]) for null in tests for name in ("null_mean", "p_value"))
        table.add_row(concept["name"], *counts, score, *nulls, *_published(published[concept["name"]], metric, table))
    return table


def _published(printed: dict[str, str], metric: str, table: Table) -> list[str]:
    return [printed.get(metric, "")] if len(table.columns) > len(_HEADINGS) else []


def _keywords_table(concepts: list[dict[str, Any]]) -> Table:
    table = Table(title="Keywords among the top tokens of the paired features", title_justify="left")
    for heading in ("concept", "in A", "in B"):
        table.add_column(heading, overflow="fold")
    for concept in concepts:
        table.add_row(concept["name"], *(_counts(concept[f"keyword_counts_{side}"]) for side in "ab"))
    return table


def _counts(counts: dict[str, int]) -> str:
    shown = [f"{keyword} {n}" for keyword, n in list(counts.items())[:N_KEYWORDS_SHOWN]]
    left = len(counts) - len(shown)
    return ", ".join([*shown, f"{left} more"] if left else shown)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
