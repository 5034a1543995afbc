"""What the terminal shows: the funnel, the scores, the semantic subspaces, and a sweep layer by layer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from analogue.reporting.compact_table import compact_table
from analogue.reporting.panels import DOUBTFUL, SIGNIFICANT, format_number
from analogue.reporting.transfer import transfer_tables
from analogue.results import ComparisonResult, SideRecord, label

N_KEYWORDS_SHOWN = 6
SCORED_ON = {
    "decoder": "the paired decoder rows",
    "activations": "the paired features, activations",
    "residual": "the residual streams",
}
"""What was scored, in words, by `SimilarityResult.on`."""
_NUMBER = re.compile(r"(?<!\w)\d+(?:\.\d+)?")
_SIDE_ROWS = ("model", "layer", "SAE", "features", "live features", "L0", "explained variance")


def comparison_tables(result: ComparisonResult) -> Group:
    """The tables of one comparison, and its warnings."""
    reasons = {entry["reason"]: None for entry in result.similarity if entry["score"] is None}
    notes = [*(f"no score: {reason}" for reason in reasons), *result.warnings, *concept_notes(result)]
    warnings = [Text(f"! {note}", style="yellow") for note in notes]
    evidence = [_evidence_table(result.evidence)] if result.evidence else []
    scored_on = dict.fromkeys(entry.get("on", "decoder") for entry in result.similarity)
    scores = [_scores_table(result, on) for on in scored_on]
    scores += [_consistency_table(result.consistency)] if result.consistency else []
    abroad = transfer_tables(result.transfer) if result.transfer else []
    tables = _sides_table(result), _funnel_table(result), *evidence, *scores, *abroad, *concept_tables(result)
    return Group(*tables, *warnings)


def sweep_table(results: Sequence[ComparisonResult], metric: str) -> Group:
    """Paired score of one metric, rows layer of A, columns layer of B; '?' marks p >= 0.05, '-' a job without score."""
    columns = sorted({result.side_b.layer for result in results})
    title = Text(
        f"{metric}: paired score, rows layer_a, columns layer_b ({DOUBTFUL} p >= {SIGNIFICANT}, - no score)", "italic"
    )
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    for layer in columns:
        table.add_column(f"{layer} ", justify="right", no_wrap=True)
    cells = {(result.side_a.layer, result.side_b.layer): _cell(result, metric) for result in results}
    for row in sorted({result.side_a.layer for result in results}):
        table.add_row(str(row), *(cells.get((row, column), "") for column in columns))
    return Group(title, table)


def concept_tables(result: ComparisonResult) -> list[Table]:
    """One table per metric (the paper's Table 1) and one of the keywords found (Table 3); empty without concepts."""
    if not result.concepts:
        return []
    metrics = dict.fromkeys(entry["metric"] for entry in result.concepts[0]["similarity"])
    return [*(_concept_scores_table(result, metric) for metric in metrics), _keywords_table(result.concepts)]


def concept_notes(result: ComparisonResult) -> list[str]:
    """Warnings on the subspaces' scores; those that differ in their numbers alone are merged: `2-14 pairs`."""
    alike: dict[str, list[_Note]] = {}
    for concept in result.concepts:
        for entry in concept["similarity"]:
            for note in [*entry["warnings"], *filter(None, [entry["reason"]])]:
                alike.setdefault(_NUMBER.sub("", note), []).append(_Note(note, entry["metric"], concept["name"]))
    return [_merged(notes) for notes in alike.values()]


def side_texts(side: SideRecord) -> list[str]:
    """Model, layer, SAE, features, live features, L0 and explained variance."""
    numbers = (str(side.d_sae), str(side.n_live_features), f"{side.l0:.1f}", format_number(side.explained_variance))
    return [side.model, str(side.layer), side.sae, *numbers]


def _cell(result: ComparisonResult, metric: str) -> str:
    for entry in result.similarity:
        if label(entry) == metric and entry["score"] is not None:
            p_value = entry["p_value"]
            return f"{entry['score']:.2f}" + (DOUBTFUL if p_value is not None and p_value >= SIGNIFICANT else " ")
    return "- "


def _sides_table(result: ComparisonResult) -> Table:
    table = Table(title=str(result.corpus), title_justify="left")
    for heading in ("", "A", "B"):
        table.add_column(heading, overflow="fold")
    sides = result.side_a, result.side_b
    for name, *values in zip(_SIDE_ROWS, *map(side_texts, sides), strict=True):
        table.add_row(name, *values)
    table.add_row("activations", *("from cache" if side.from_cache else "computed" for side in sides))
    return table


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


def _evidence_table(evidence: Mapping[str, Any]) -> Table:
    draws = f"{evidence['n_null']} draws of permuted sequences{', pooled' if evidence['pooled'] else ''}"
    title = f"A partner beyond chance at q <= {evidence['q']:g} ({draws})"
    table = Table(title=title, title_justify="left", min_width=len(title))
    for heading in ("", "tested", "beyond chance"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, side in (("A", evidence["a"]), ("B", evidence["b"])):
        table.add_row(f"features of {name}", str(side["n_tested"]), str(side["n_beyond_chance"]))
    table.add_row("pairs kept", str(evidence["n_kept"]), str(evidence["n_kept_beyond_chance"]))
    return table


def _consistency_table(consistency: Mapping[str, Any]) -> Table:
    above = f"cosine > {consistency['threshold']:g}"
    title = f"Dictionaries of {consistency['n_a']} and {consistency['n_b']} rows, beside random rows"
    table = compact_table(title, ("", "score", "random"), texts=("",))
    names = {
        "pw_mcc": "PW-MCC",
        "best_share_a": f"features of A, best {above}",
        "best_share_b": f"features of B, best {above}",
        "assigned_share": f"assigned, both encoder and decoder {above}",
    }
    for name, text in names.items():
        table.add_row(text, format_number(consistency[name]), format_number(consistency["floor"][name]))
    return table


def _scores_table(result: ComparisonResult, on: str) -> Table:
    entries = [entry for entry in result.similarity if entry.get("on", "decoder") == on]
    draws = sorted({entry["n_null"] for entry in entries if entry["n_null"]})
    title = f"Similarity of {SCORED_ON[on]}, nulls of {' and '.join(map(str, draws)) or 'no'} draws"
    counted = "tokens" if on == "residual" else "pairs"
    headings = ("metric", "score", "null", "null mean", "null sd", "p-value", counted)
    table = compact_table(title, headings, texts=("metric", "null"))
    published = published_values(result, concept=None) if on == "decoder" else {}
    if published:
        table.add_column("published", overflow="fold")
    for entry in entries:
        if entry["score"] is None:
            table.add_row(entry["metric"], "-", entry["null"])
            continue
        score, *numbers = (format_number(entry[name], 4) for name in ("score", "null_mean", "null_sd", "p_value"))
        printed = [published.get(entry["metric"], "")] if published else []
        table.add_row(entry["metric"], score, entry["null"], *numbers, str(entry["n_pairs"]), *printed)
    return table


def _concept_scores_table(result: ComparisonResult, metric: str) -> Table:
    n_draws = max(entry["n_null"] for concept in result.concepts for entry in concept["similarity"])
    title = f"Semantic subspaces: {metric} (Test 1: shuffled pairs, Test 2: random subsets, {n_draws} draws)"
    headings = ("concept", "in A", "in B", "pairs", "score", "null 1", "p 1", "null 2", "p 2")
    table = compact_table(title, headings, texts=("concept",))
    published = {concept["name"]: published_values(result, concept["name"]) for concept in result.concepts}
    is_published = any(metric in printed for printed in published.values())
    if is_published:
        table.add_column("published", overflow="fold")
    for concept in result.concepts:
        tests = {entry["null"]: entry for entry in concept["similarity"] if entry["metric"] == metric}
        counts = (str(concept[name]) for name in ("n_features_a", "n_features_b", "n_pairs"))
        nulls = (format_number(tests[null][name]) for null in tests for name in ("null_mean", "p_value"))
        printed = [published[concept["name"]].get(metric, "")] if is_published else []
        table.add_row(concept["name"], *counts, format_number(tests["shuffle"]["score"]), *nulls, *printed)
    return table


def _keywords_table(concepts: list[dict[str, Any]]) -> Table:
    table = Table(title="Keywords among the top tokens of the paired features", title_justify="left")
    for heading in ("concept", "in A", "in B"):
        table.add_column(heading, overflow="fold")
    for concept in concepts:
        table.add_row(concept["name"], *(_counts(concept[f"keyword_counts_{side}"]) for side in "ab"))
    return table


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{keyword} {n}" for keyword, n in list(counts.items())[:N_KEYWORDS_SHOWN]]
    left = len(counts) - len(shown)
    return ", ".join([*shown, f"{left} more"] if left else shown)


class _Note(NamedTuple):
    text: str
    metric: str
    concept: str


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


def _joined(printed: Iterable[tuple[str, float, Mapping[str, Any]]]) -> dict[str, str]:
    """`0.73 (Appendix A, ManyA-to-1B); ...` for every name, from names, numbers and rows of `published`."""
    texts: dict[str, list[str]] = {}
    for name, value, row in printed:
        where = ", ".join(filter(None, (row["source"], row["setting"])))
        texts.setdefault(name, []).append(f"{value:g} ({where})")
    return {name: "; ".join(each) for name, each in texts.items()}
