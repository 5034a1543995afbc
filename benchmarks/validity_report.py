"""The tables and the figure of docs/validity.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np

from analogue.similarity import METRICS
from benchmarks.validity import PAIRED_SHARE, Found, Size, p_values, power, scores, uniformity

DOCS = Path(__file__).parent.parent / "docs"
MARKER = "<!-- What follows is written by `python -m benchmarks.validity`. -->\n"
DRAWN = ("svcca", "svcca_pc1", "svcca_cross_validated", "rsa", "cka_debiased", "procrustes", "mutual_knn")


class Studies(NamedTuple):
    """What was found."""

    size: Size
    share: list[Found]
    number: list[Found]
    nothing: list[Found]


def tables(studies: Studies) -> str:
    """The three tables in Markdown."""
    return "\n".join([pairing_table(studies), metric_table(studies), power_table(studies)])


def write_page(studies: Studies) -> None:
    """Replace the tables of the page and its figure."""
    page = DOCS / "validity.md"
    text = page.read_text(encoding="utf-8").split(MARKER)[0]
    page.write_text(f"{text}{MARKER}\n{tables(studies)}", encoding="utf-8")
    draw_figure(studies)


def pairing_table(studies: Studies) -> str:
    """Precision and recall of the pairs."""
    rows = []
    for shared in studies.size.shares:
        cells = [_at(studies.share, shared=shared, noise=noise) for noise in studies.size.noises]
        rows.append([f"{shared:.1f}", *(_pairing_cell(cell) for cell in cells)])
    headings = ["shared", *(f"noise {noise}: precision / recall (pairs)" for noise in studies.size.noises)]
    return _table("Pairing", headings, rows)


def metric_table(studies: Studies) -> str:
    """Each metric: monotone in u? How strong must sharing be, and are p-values uniform without it?"""
    noise = _middle(studies.size.noises)
    rows = []
    for metric in METRICS:
        means = mean_scores(studies, metric, noise)
        falls = [f"{u:.1f}" for u, step in zip(studies.size.shares[1:], np.diff(means), strict=True) if step < 0]
        powers = [power(_at(studies.share, shared=u, noise=noise), metric) for u in studies.size.shares]
        enough = next((f"{u:.1f}" for u, each in zip(studies.size.shares, powers, strict=True) if each >= 0.8), "-")
        statistic, p = uniformity(studies.nothing, metric, studies.size.n_null)
        false = power(studies.nothing, metric)
        ends = f"{means[0]:.3f} to {means[-1]:.3f}"
        monotone = "yes" if not falls else f"falls at {', '.join(falls)}"
        rows.append([f"`{metric}`", ends, monotone, enough, f"{false:.3f}", f"{statistic:.3f}", f"{p:.2g}"])
    headings = ["metric", "mean score, nothing to all shared", "monotone", "80 % power from share"]
    headings += ["p < 0.05 with nothing shared", "KS distance", "KS p-value"]
    return _table(f"Metrics (noise {noise})", headings, rows)


def power_table(studies: Studies) -> str:
    """Power by number of pairs."""
    cells = [[each for each in studies.number if each.n_pairs == n] for n in studies.size.n_pairs]
    rows = [[f"`{metric}`", *(f"{power(cell, metric):.2f}" for cell in cells)] for metric in METRICS]
    noise = _middle(studies.size.noises)
    return _table(
        f"Power at p < 0.05 by number of pairs ({PAIRED_SHARE:.0%} of them right, noise {noise})",
        ["metric", *(str(n) for n in studies.size.n_pairs)],
        rows,
    )


def mean_scores(studies: Studies, metric: str, noise: float) -> np.ndarray:
    """(n_shares,) mean score by share, of the seeds that have one."""
    cells = [scores(_at(studies.share, shared=u, noise=noise), metric) for u in studies.size.shares]
    return np.array([np.nan if np.isnan(cell).all() else np.nanmean(cell) for cell in cells])


def draw_figure(studies: Studies) -> None:
    """Four panels: pairing, scores, power, and the distribution of p-values with nothing shared."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, ((pairing, score), (number, uniform)) = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
    shares, noise = studies.size.shares, _middle(studies.size.noises)
    for colour, each in enumerate(studies.size.noises):
        cells = [_at(studies.share, shared=u, noise=each) for u in shares]
        for name, style in (("precision", "-"), ("recall", "--")):
            values = [_nanmean([getattr(found, name) for found in cell]) for cell in cells]
            pairing.plot(shares, values, style, color=f"C{colour}", label=f"{name}, noise {each}")
    for metric in DRAWN:
        score.plot(shares, mean_scores(studies, metric, noise), marker="o", markersize=3, label=metric)
        sized = [[found for found in studies.number if found.n_pairs == n] for n in studies.size.n_pairs]
        number.plot(studies.size.n_pairs, [power(cell, metric) for cell in sized], marker="o", markersize=3)
        p = np.sort(p_values(studies.nothing, metric))
        uniform.plot(p, np.arange(1, len(p) + 1) / len(p), drawstyle="steps-post", linewidth=1)
    uniform.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    number.set_xscale("log")
    number.set_xticks(studies.size.n_pairs, labels=[str(n) for n in studies.size.n_pairs])
    for axes, title, x, y in (
        (pairing, "Pairing", "share of features shared", "precision, recall"),
        (score, f"Scores (noise {noise})", "share of features shared", "mean score"),
        (number, f"Power: {PAIRED_SHARE:.0%} of the pairs right", "pairs", "share of p < 0.05"),
        (uniform, "p-values with nothing shared", "p-value", "cumulative share"),
    ):
        axes.set(title=title, xlabel=x, ylabel=y)
    pairing.legend(fontsize=8)
    score.legend(fontsize=8)
    figure.savefig(DOCS / "validity.png", dpi=110)
    plt.close(figure)


def _at(found: Sequence[Found], shared: float, noise: float) -> list[Found]:
    return [each for each in found if (each.shared, each.noise) == (shared, noise)]


def _middle(noises: Sequence[float]) -> float:
    return noises[len(noises) // 2]


def _pairing_cell(cell: Sequence[Found]) -> str:
    precision, recall = (_nanmean([getattr(each, name) for each in cell]) for name in ("precision", "recall"))
    shown = ["-" if np.isnan(value) else f"{value:.2f}" for value in (precision, recall)]
    return f"{' / '.join(shown)} ({np.mean([each.n_pairs for each in cell]):.0f})"


def _nanmean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return f"### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
