"""Time and memory of the correlation engines: `python -m benchmarks.matching [--large] [--only sparse|dense]`.

Sparse cases draw two sides whose feature frequencies follow rank^-0.7. Ratios are to the plain dense method (z-score,
product, argmax), timed in the same run on the CPU. Memory is what a call adds to the process at its peak (Linux only);
where it computes on a CUDA device, what it takes there.
"""

import argparse
import ctypes
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from analogue.features import FeatureActivations
from analogue.matching import best_partners
from benchmarks.clock import now
from benchmarks.matching_cases import (
    DENSE,
    DENSE_TOKENS,
    DENSE_WIDTH,
    LARGE,
    SPARSE,
    Case,
    draw_activations,
    draw_dense,
    plain_dense_on_device,
    plain_dense_seconds,
)
from benchmarks.rows import Rows

CUDA = torch.cuda.is_available()
CALLS: list[tuple[str, int]] = [("a_to_b", 1), ("a_to_b", 5), ("both", 1), ("both", 5)]
COLUMNS = ("n_tokens", "d_sae", "L0", "seconds", "peak GB", "ratio to dense", "x its GEMM", "call".rjust(60))


class Measured(NamedTuple):
    """What a call took."""

    seconds: float
    peak_bytes: int | None


def measure(call: Callable[[], object], repeats: int, device: str = "cpu") -> Measured:
    """Median time, and peak memory beyond what there was, of a call after one that warms up."""
    if repeats > 1 or device == "cuda":
        call()
    seconds, peaks = [], []
    for _ in range(repeats):
        before = _start_peak(device)
        start = now()
        call()
        seconds.append(now() - start)
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else _status_bytes("VmHWM")
        peaks.append(peak - before)
    known = device == "cuda" or _status_bytes("VmHWM")
    return Measured(statistics.median(seconds), max(peaks) if known else None)


def _start_peak(device: str) -> int:
    """Let the peak start from what the process, or the device, holds now, and return that."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:  # the allocator keeps what earlier calls freed
        trim(0)
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def add_row(rows: Rows, case: Case, call: str, measured: Measured, dense: float, gemm: float | None = None) -> None:
    """Show one measurement."""
    seconds, peak = measured
    rows.add(
        f"{case.n_tokens:,}",
        f"{case.d_sae:,}",
        f"{case.l0:,}",
        f"{seconds:.2f}" if seconds > 0.1 else f"{seconds:.3f}",
        "" if peak is None else f"{peak / 1e9:.2f}",
        f"{dense / seconds:,.1f}" if dense < 100 * seconds else f"{dense / seconds:,.0f}",
        "" if gemm is None else f"{seconds / gemm:.2f}",
        call,
    )


def measure_sparse(case: Case, rows: Rows, seed: int, repeats: int) -> None:
    """Rows of the walk on one case."""
    rng = np.random.default_rng(seed)
    acts_a, acts_b = draw_activations(case, rng), draw_activations(case, rng)
    dense = plain_dense_seconds(case, rng)
    add_row(rows, case, "plain dense", Measured(dense, None), dense)
    if CUDA:
        add_row(rows, case, "plain dense on cuda", Measured(plain_dense_on_device(case), None), dense)
    for direction, k in CALLS:
        run = _bound(best_partners, acts_a, acts_b, k, direction=direction, engine="walk")
        add_row(rows, case, f"walk, {direction}, k={k}", measure(run, repeats), dense)


def measure_dense(case: Case, rows: Rows, seed: int, repeats: int, device: str) -> None:
    """Rows of the dense engine on pre-activations, half of them zero after ReLU: related sides, and unrelated ones."""
    rng = np.random.default_rng(seed)
    dense = plain_dense_seconds(case, rng)
    add_row(rows, case, "plain dense", Measured(dense, None), dense)
    for related in (True, False):
        a, b = (side.to(device) for side in draw_dense(case, rng, related))
        gemm = measure(_bound(torch.matmul, a.T, b), repeats, device)
        acts = [FeatureActivations.from_dense(side.relu()) for side in (a, b)]
        del a, b
        if related:
            add_row(rows, case, f"{device}: float32 GEMM alone", gemm, dense)
        kind = "partners at r = 0.5" if related else "no partners"
        for direction in ("a_to_b", "both") if related else ("a_to_b",):
            run = _bound(best_partners, *acts, direction=direction, engine="dense", device=device)
            add_row(rows, case, f"{device}: {direction}, {kind}", measure(run, repeats, device), dense, gemm.seconds)


def _bound(function: Callable, *arguments: object, **named: object) -> Callable[[], object]:
    return lambda: function(*arguments, **named)


def main() -> None:
    """Print a row per call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help=f"add {LARGE}, once each")
    parser.add_argument("--only", choices=("sparse", "dense", "large"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(
        f"Best partners by activation correlation, median of {arguments.repeats} ({LARGE.d_sae:,} wide: once).\n"
        f"Plain dense is timed on at most {DENSE_WIDTH:,} features per side and {DENSE_TOKENS:,} tokens, and scaled."
    )
    rows = Rows(*COLUMNS)
    if arguments.only in (None, "sparse"):
        for case in SPARSE:
            measure_sparse(case, rows, arguments.seed, arguments.repeats)
    if arguments.large or arguments.only == "large":
        measure_sparse(LARGE, rows, arguments.seed, repeats=1)
    if arguments.only in (None, "dense"):
        for device in ("cpu", "cuda") if CUDA else ("cpu",):
            measure_dense(DENSE, rows, arguments.seed, arguments.repeats, device)


if __name__ == "__main__":
    main()
