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
from rich.console import Console
from rich.table import Table

from analogue.matching import TokenChunks, best_partners, best_partners_dense
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

CUDA = torch.cuda.is_available()
CALLS: list[tuple[str, int]] = [("a_to_b", 1), ("a_to_b", 5), ("both", 1), ("both", 5)]
COLUMNS = ("n_tokens", "d_sae", "L0", "engine", "seconds", "peak GB", "ratio to dense", "x its GEMM")


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


def add_row(table: Table, case: Case, engine: str, measured: Measured, dense: float, gemm: float | None = None) -> None:
    """Show one measurement."""
    seconds, peak = measured
    table.add_row(
        f"{case.n_tokens:,}",
        f"{case.d_sae:,}",
        f"{case.l0:,}",
        engine,
        f"{seconds:.2f}" if seconds > 0.1 else f"{seconds:.3f}",
        "" if peak is None else f"{peak / 1e9:.2f}",
        f"{dense / seconds:,.1f}" if dense < 100 * seconds else f"{dense / seconds:,.0f}",
        "" if gemm is None else f"{seconds / gemm:.2f}",
    )


def measure_sparse(case: Case, table: Table, seed: int, repeats: int) -> None:
    """Rows of `best_partners` on one case."""
    rng = np.random.default_rng(seed)
    acts_a, acts_b = draw_activations(case, rng), draw_activations(case, rng)
    dense = plain_dense_seconds(case, rng)
    for engine, device in (("walk", "cpu"), ("tiles", "cuda")) if CUDA else (("walk", "cpu"),):
        for direction, k in CALLS:
            run = _bound(best_partners, acts_a, acts_b, k, direction, engine=engine, device=device)
            found = measure(run, repeats, device)
            add_row(table, case, f"{engine} on {device}, {direction}, k={k}", found, dense)
    table.add_row(f"{case.n_tokens:,}", f"{case.d_sae:,}", "", "plain dense", f"{dense:,.0f}", "", "1", "")
    if CUDA:
        on_device = Measured(plain_dense_on_device(case), None)
        add_row(table, case, "plain dense on cuda", on_device, dense)
    table.add_section()


def measure_dense(case: Case, table: Table, seed: int, repeats: int, device: str) -> None:
    """Rows of `best_partners_dense`: related sides in either precision, and sides where nobody has a partner."""
    rng = np.random.default_rng(seed)
    dense = plain_dense_seconds(case, rng)
    for related in (True, False):
        chunks = TokenChunks(*(side.to(device) for side in draw_dense(case, rng, related)))
        kind = "partners at r = 0.5" if related else "no partners"
        for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
            a, b = chunks.acts_a.to(dtype), chunks.acts_b.to(dtype)
            gemm = measure(_bound(torch.matmul, a.T, b), repeats, device)
            del a, b
            if related:
                add_row(table, case, f"{device}: {precision} GEMM alone", gemm, dense)
            for direction in ("a_to_b", "both") if related else ("a_to_b",):
                run = _bound(best_partners_dense, chunks, 1, direction, precision, device)
                found = measure(run, repeats, device)
                add_row(table, case, f"{device}: {precision}, {direction}, {kind}", found, dense, gemm.seconds)
    table.add_row(f"{case.n_tokens:,}", f"{case.d_sae:,}", f"{case.l0:,}", "plain dense", f"{dense:,.1f}", "", "1", "")
    table.add_section()


def _bound(function: Callable, *arguments: object, **named: object) -> Callable[[], object]:
    return lambda: function(*arguments, **named)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help=f"add {LARGE}, once each")
    parser.add_argument("--only", choices=("sparse", "dense", "large"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    table = Table(
        title="Best partners by activation correlation",
        caption=f"Median of {arguments.repeats} ({LARGE.d_sae:,} wide: once). Plain dense: timed on at most "
        f"{DENSE_WIDTH:,} features a side and {DENSE_TOKENS:,} tokens, and scaled to the rest. "
        + ("" if CUDA else "No CUDA device here: its rows are left out."),
    )
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "engine" else "right")
    if arguments.only in (None, "sparse"):
        for case in SPARSE:
            measure_sparse(case, table, arguments.seed, arguments.repeats)
    if arguments.large or arguments.only == "large":
        measure_sparse(LARGE, table, arguments.seed, repeats=1)
    if arguments.only in (None, "dense"):
        for device in ("cpu", "cuda") if CUDA else ("cpu",):
            measure_dense(DENSE, table, arguments.seed, arguments.repeats, device)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
