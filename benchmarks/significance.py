"""Shuffled-pairing nulls: seconds per draw of the naive loop and of the prepared metrics, in one run.

The naive loop recomputes SVD, distances and ranks for every draw; its draws are timed, and scaled like the others to
the number of shuffles of the paper's concept tests. If there is a GPU, the same shuffles are drawn there too, and
compared with the same naive loop on the CPU. Run it with `python -m benchmarks.significance`.
"""

import argparse
import resource
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from analogue.significance import draw_shuffles
from analogue.significance.draws import blas_threads_for
from analogue.similarity import METRICS
from benchmarks.clock import now

D_A, D_B = 512, 768
SHUFFLES = 1000
NAIVE_DRAWS = 2

T = TypeVar("T")


def decoder_rows(n_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows that share half of their directions."""
    r = np.random.default_rng(seed)
    shared = r.standard_normal((n_pairs, D_A // 2))
    sides = (shared @ r.standard_normal((D_A // 2, d)) / 16 + r.standard_normal((n_pairs, d)) for d in (D_A, D_B))
    x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return x, y


def naive_svcca(x: np.ndarray, y: np.ndarray) -> float:
    """SVCCA from the beginning."""
    scores = []
    for side in (x, y):
        u, s, _ = np.linalg.svd(side - side.mean(0), full_matrices=False)
        fraction = np.cumsum(s**2) / np.sum(s**2)
        scores.append(u[:, : int(np.searchsorted(fraction, 0.99)) + 1])
    return float(np.linalg.svd(scores[0].T @ scores[1], compute_uv=False).mean())


def naive_rsa(x: np.ndarray, y: np.ndarray) -> float:
    """Euclidean RSA with Spearman's correlation from the beginning."""
    ranks = (rankdata(pdist(side)) for side in (x, y))
    return float(np.corrcoef(*ranks)[0, 1])


NAIVE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"svcca": naive_svcca, "rsa": naive_rsa}


class Row(NamedTuple):
    """Seconds per naive draw, for preparing and per prepared draw, and the largest difference of scores."""

    naive: float
    preparing: float
    drawn: float
    difference: float


def measure(name: str, x: np.ndarray, y: np.ndarray, n_draws: int, seed: int, devices: list[str]) -> dict[str, Row]:
    """A row per device, each with the same naive loop on the CPU."""
    r = np.random.default_rng(seed)
    naive = [timed(lambda p=p: NAIVE[name](x, y[p])) for p in (r.permutation(len(x)) for _ in range(NAIVE_DRAWS))]
    naive_seconds = float(np.median([seconds for seconds, _ in naive]))
    rows = {}
    for device in devices:
        sides = (x, y) if device == "cpu" else [torch.tensor(side, device=device) for side in (x, y)]
        with blas_threads_for(len(x)):
            METRICS[name].prepare(*(side[:200] for side in sides))(np.arange(200))  # the first call compiles
            preparing, scorer = timed(lambda sides=sides: METRICS[name].prepare(*sides))
        scorer(r.permutation(len(x)))
        seconds, null = timed(
            lambda scorer=scorer, device=device: draw_shuffles(
                {name: scorer}, len(x), n_draws, seed, threads=device == "cpu"
            )[name]
        )
        difference = max(abs(score - draw) for (_, score), draw in zip(naive, null, strict=False))
        rows[device] = Row(naive_seconds, preparing, seconds / n_draws, difference)
    return rows


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds and answer of a call, a GPU's work included."""
    start = now()
    answer = call()
    return now() - start, answer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-pairs", type=int, default=3000)
    parser.add_argument("--draws", type=int, default=100, help=f"prepared draws timed (naive: {NAIVE_DRAWS})")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.draws < 1 or arguments.n_pairs < 3:
        parser.error("expected --draws of at least 1 and --n-pairs of at least 3")
    x, y = decoder_rows(arguments.n_pairs, arguments.seed)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    measured = {name: measure(name, x, y, arguments.draws, arguments.seed, devices) for name in NAIVE}
    peak = f"Peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB"
    if torch.cuda.is_available():
        peak += f", of {torch.cuda.get_device_name()} {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
    for device in devices:
        rows = {name: of_metric[device] for name, of_metric in measured.items()}
        Console().print(results_table(rows, arguments.n_pairs, device, f"{peak}."))


def results_table(rows: dict[str, Row], n_pairs: int, device: str, caption: str) -> Table:
    """One row per metric, and their sum."""
    caption = f"Seconds per draw, naive and prepared; all: {SHUFFLES} draws. Largest difference of scores. {caption}"
    table = Table(title=f"Shuffles of {n_pairs:,} pairs, d = {D_A} and {D_B}, on {device}", caption=caption)
    headings = ("metric", "naive s", "prepare s", "draw s", "all, naive", "all, quick", "ratio")
    for heading in (*headings, "difference"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    total = Row(*np.sum(list(rows.values()), axis=0)[:3], max(row.difference for row in rows.values()))
    for name, (naive, preparing, drawn, difference) in (rows | {"together": total}).items():
        slow, fast = naive * SHUFFLES, preparing + drawn * SHUFFLES
        cells = f"{naive:.2f}", f"{preparing:.2f}", f"{drawn:.4f}", f"{slow:,.0f} s", f"{fast:.1f} s"
        table.add_row(name, *cells, f"{slow / fast:.0f}x", f"{difference:.0e}", end_section=name == list(rows)[-1])
    return table


if __name__ == "__main__":
    main()
