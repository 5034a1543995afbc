"""Time and memory of the correlation engine: `python -m benchmarks.matching [--large] [--seed N]`.

Each case draws two sides whose feature frequencies follow rank^-0.7, in random feature order. The dense method is
what the published code does: z-score both (n_tokens, d_sae) arrays in float32, multiply, take the row's maximum.
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from analogue.features import FeatureActivations
from analogue.matching import best_partners


class Case(NamedTuple):
    """One size to measure."""

    n_tokens: int
    d_sae: int
    l0: int


CASES = [Case(30_000, 32_768, 32), Case(30_000, 32_768, 80)]
LARGE = Case(1_000_000, 131_072, 50)
CALLS: list[tuple[str, int]] = [("a_to_b", 1), ("a_to_b", 5), ("both", 1), ("both", 5)]
DENSE_WIDTH = 2048
FREQUENCY_EXPONENT = -0.7


def draw_activations(case: Case, rng: np.random.Generator) -> FeatureActivations:
    """Independent activations with power-law firing frequencies that sum to L0."""
    frequency = np.arange(1, case.d_sae + 1) ** FREQUENCY_EXPONENT
    frequency = rng.permutation(np.minimum(frequency * case.l0 / frequency.sum(), 0.95))
    # Poisson draws of this rate hit a (token, feature) at least once with the wanted probability.
    rate = -np.log1p(-frequency)
    n_draws = rng.poisson(case.n_tokens * rate.sum())
    features = np.searchsorted(np.cumsum(rate)[:-1] / rate.sum(), rng.random(n_draws))
    entries = np.unique(rng.integers(0, case.n_tokens, n_draws) * case.d_sae + features)
    indptr = np.searchsorted(entries, np.arange(case.n_tokens + 1) * case.d_sae)
    values = rng.exponential(size=len(entries)).astype(np.float32) + np.float32(0.05)
    return FeatureActivations(indptr, (entries % case.d_sae).astype(np.int32), values, case.d_sae)


def dense_seconds(case: Case, rng: np.random.Generator) -> float:
    """Seconds of the plain dense method at full width, scaled from what `DENSE_WIDTH` features a side take."""
    a, b = (rng.random((case.n_tokens, DENSE_WIDTH), dtype=np.float32) for _ in range(2))
    start = time.perf_counter()
    a, b = z_score(a), z_score(b)
    scored = time.perf_counter()
    corr = a.T @ b / np.float32(case.n_tokens)
    corr.argmax(axis=1)
    end = time.perf_counter()
    ratio = case.d_sae / DENSE_WIDTH
    return (scored - start) * ratio + (end - scored) * ratio**2


def z_score(acts: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1."""
    return (acts - acts.mean(axis=0)) / acts.std(axis=0)


def median_seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Median time of a call, after one that compiles and warms up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_bytes(call: Callable[[], object]) -> int:
    """Most memory in arrays at a time that the call adds to its inputs, results included."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(case: Case, table: Table, seed: int) -> None:
    """Add a row to the table for each call on one case."""
    rng = np.random.default_rng(seed)
    acts_a, acts_b = draw_activations(case, rng), draw_activations(case, rng)
    dense = dense_seconds(case._replace(n_tokens=min(case.n_tokens, 30_000)), rng) * max(1, case.n_tokens / 30_000)
    for direction, k in CALLS:

        def call(direction: str = direction, k: int = k) -> object:
            return best_partners(acts_a, acts_b, k, direction=direction)  # type: ignore[call-overload]

        seconds, peak = median_seconds(call), peak_bytes(call)
        table.add_row(
            f"{case.n_tokens:,}",
            f"{case.d_sae:,}",
            f"{acts_a.l0():.0f}",
            f"sparse, {direction}, k={k}",
            f"{seconds:.2f}",
            f"{peak / 1e9:.2f}",
            f"{dense / seconds:,.0f}",
        )
    table.add_row(
        f"{case.n_tokens:,}", f"{case.d_sae:,}", "", "dense, scaled", f"{dense:,.0f}", "", "1", end_section=True
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help=f"add {LARGE}")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    table = Table(
        title="Best partners by activation correlation",
        caption=f"Median of 3. Dense: timed at {DENSE_WIDTH:,} features a side (at most 30,000 tokens) and scaled: "
        "z-score by width, GEMM and argmax by width squared, both by tokens.",
    )
    for name in ("n_tokens", "d_sae", "L0", "engine", "seconds", "peak GB", "ratio to dense"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for case in [*CASES, LARGE] if arguments.large else CASES:
        measure(case, table, arguments.seed)
    Console().print(table)


if __name__ == "__main__":
    main()
