"""The paper's Appendix A: how alike two SAEs are that differ in nothing but their seed."""

from collections.abc import Sequence

from rich.table import Table

from analogue.reporting.panels import format_number
from analogue.reporting.tables import compact_table
from analogue.results import ComparisonResult
from analogue.results.grids import scored
from analogue.results.published import published_scores

# As the published code has them: its `manyA_1B` lets each feature of B choose (the paper's section 3 says the reverse).
DIRECTIONS = {"a_to_b": "1A-to-ManyB", "b_to_a": "ManyA-to-1B"}
# Ours and the paper's SAEs differ in width, and correspond in d_sae / d_model.
PUBLISHED_WIDTHS = {8: 8192, 16: 16384}
_WORDS = ("paired by", "direction")
_HEADINGS = ("d_sae", *_WORDS, "pairs", "score", "filtered", "score", "random", "p", "mean r", "cosine")


def is_seed_study(result: ComparisonResult) -> bool:
    """Whether a comparison is of two SAEs of one model and layer."""
    a, b = result.side_a, result.side_b
    return (a.model_fingerprint, a.layer) == (b.model_fingerprint, b.layer) and a.sae != b.sae


def seed_study_table(results: Sequence[ComparisonResult], metric: str) -> Table:
    """One row per width, pairing and direction: scores with and without filters, and of random pairings.

    Args:
        results: those for which `is_seed_study`.
        metric: the score shown; the paper's is `svcca_pc1`.
    """
    title = f"Two SAEs of one model: {metric} of the paired decoder rows (random: mean of shuffled pairings"
    title += "; published: the paper's SAEs of the same d_sae / d_model)" if metric == "svcca_pc1" else ")"
    table = compact_table(title, _HEADINGS, texts=_WORDS)
    if metric == "svcca_pc1":
        table.add_column("published", no_wrap=True)
    for (d_sae, rule, direction), group in _groups(results).items():
        before = min(group, key=lambda result: len(result.funnel))
        after = max(group, key=lambda result: len(result.funnel))
        row = [str(d_sae), rule, DIRECTIONS[direction], *_scored(before, metric), *_scored(after, metric)]
        numbers = [scored(after, metric, "null_mean"), scored(after, metric, "p_value")]
        numbers += [after.correlation["mean_kept"], (after.decoder_cosine or {}).get("mean_kept")]
        row += map(format_number, numbers)
        if metric == "svcca_pc1":
            row.append(_published(after, rule, direction))
        table.add_row(*row)
    return table


def _groups(results: Sequence[ComparisonResult]) -> dict[tuple[int, str, str], list[ComparisonResult]]:
    groups: dict[tuple[int, str, str], list[ComparisonResult]] = {}
    for result in results:
        groups.setdefault((result.side_a.d_sae, result.rule, result.direction), []).append(result)
    return dict(sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] != "max_correlation", item[0][2])))


def _scored(result: ComparisonResult, metric: str) -> tuple[str, str]:
    return str(result.n_kept), format_number(scored(result, metric, "score"))


def _published(result: ComparisonResult, rule: str, direction: str) -> str:
    """What Appendix A prints for the same pairing at the same expansion."""
    width = PUBLISHED_WIDTHS.get(round(result.side_a.d_sae / result.side_a.d_model))
    printed = [
        each
        for each in published_scores("tinystories_seeds", 0, 0)
        if (each.d_sae, each.rule) == (width, rule) and each.direction in (None, direction) and each.filters is not None
    ]
    stages = [each.setting.rsplit(", ", 1)[1].removesuffix(" filter") for each in printed]
    return ", ".join(f"{stage} {each.value:g}" for stage, each in zip(stages, printed, strict=True))
