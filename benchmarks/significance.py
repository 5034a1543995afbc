"""Shuffled-pairing nulls: seconds a draw of the naive loop and of the prepared metrics, in one run.

The naive loop recomputes SVD, distances and ranks for every draw; its draws are timed, and scaled like the others to
the number of shuffles of the paper's concept tests. Run it with `python -m benchmarks.significance`.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from analogue.significance import draw_shuffles
from analogue.significance.threads import blas_threads_for
from analogue.similarity import METRICS

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


def measure(name: str, x: np.ndarray, y: np.ndarray, n_draws: int, seed: int) -> tuple[float, float, float, float]:
    """Seconds of a naive draw, of preparing and of a prepared draw, and the largest difference of scores."""
    r = np.random.default_rng(seed)
    permutations = [r.permutation(len(x)) for _ in range(NAIVE_DRAWS)]
    with blas_threads_for(len(x)):
        preparing, scorer = timed(lambda: METRICS[name].prepare(x, y))
    scorer(permutations[0])  # the first call compiles
    seconds, null = timed(lambda: draw_shuffles({name: scorer}, len(x), n_draws, seed)[name])
    naive = [timed(lambda p=p: NAIVE[name](x, y[p])) for p in permutations]
    difference = max(abs(a - b) for (_, a), b in zip(naive, null, strict=False))
    return float(np.median([each for each, _ in naive])), preparing, seconds / n_draws, difference


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds and answer of a call."""
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


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
    rows = {name: measure(name, x, y, arguments.draws, arguments.seed) for name in NAIVE}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    Console().print(results_table(rows, arguments.n_pairs, f"Peak memory of the process {peak:.1f} GB."))


def results_table(rows: dict[str, tuple[float, float, float, float]], n_pairs: int, caption: str) -> Table:
    """A row a metric, and their sum."""
    caption = f"Seconds of a draw, naive and quick; all: {SHUFFLES} draws. Largest difference of scores. {caption}"
    table = Table(title=f"Shuffles of {n_pairs:,} pairs, d = {D_A} and {D_B}", caption=caption)
    headings = ("metric", "naive s", "prepare s", "draw s", "all, naive", "all, quick", "ratio")
    for heading in (*headings, "difference"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    total = (*np.sum(list(rows.values()), axis=0)[:3], max(row[3] for row in rows.values()))
    for name, (naive, preparing, drawn, difference) in (rows | {"together": total}).items():
        slow, fast = naive * SHUFFLES, preparing + drawn * SHUFFLES
        cells = f"{naive:.2f}", f"{preparing:.2f}", f"{drawn:.4f}", f"{slow:,.0f} s", f"{fast:.1f} s"
        table.add_row(name, *cells, f"{slow / fast:.0f}x", f"{difference:.0e}", end_section=name == list(rows)[-1])
    return table


if __name__ == "__main__":
    main()
