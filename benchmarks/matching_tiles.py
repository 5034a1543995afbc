"""A tile of the sparse problem on a device, as a sparse and a dense product: `python -m benchmarks.matching_tiles`.

The tile is 2,048 features of A by 1,024 of B over 8,192 tokens, in float64. Where the dense product is the faster one,
the activations are too dense for `best_partners`, and better off with `best_partners_dense`.
"""

import statistics
import warnings
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.clock import now

N_TOKENS, N_ROWS, N_COLUMNS = 8192, 2048, 1024
DENSITIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def median_seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call, after one that warms up."""
    seconds = []
    for _ in range(repeats + 1):
        start = now()
        call()
        seconds.append(now() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    """Print the table."""
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    other = torch.rand(N_TOKENS, N_COLUMNS, dtype=torch.float64, device=device, generator=generator)
    table = Table(title=f"A tile's product on {device}, in float64")
    for name in ("active", "sparse ms", "dense ms", "dense / sparse"):
        table.add_column(name, justify="right")
    for density in DENSITIES:
        dense = torch.rand(N_ROWS, N_TOKENS, dtype=torch.float64, device=device, generator=generator)
        dense *= torch.rand(dense.shape, device=device, generator=generator) < density
        rows = dense.to_sparse_csr()
        sparse_s, dense_s = median_seconds(lambda rows=rows: rows @ other), median_seconds(lambda d=dense: d @ other)
        table.add_row(f"{density:.1%}", f"{1e3 * sparse_s:.0f}", f"{1e3 * dense_s:.0f}", f"{dense_s / sparse_s:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
