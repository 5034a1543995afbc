"""The arithmetic of a tile: what it multiplies and adds up in, and how far that may lead from the exact result."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """The arithmetic of a tile."""

    dtype: torch.dtype
    unit: float
    """Largest relative error of one rounding beyond those of `dtype`'s accumulator."""
    n_roundings: int
    """Such roundings on the way from two activations to their term of a correlation."""

    @property
    def accumulator(self) -> torch.dtype:
        """What a tile adds up in."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32


# bf16 rounds both activations, and on a CPU each chunk's product. tf32 is taken to truncate, not to round.
PRECISIONS = {
    "float64": Precision(torch.float64, 0.0, 0),
    "float32": Precision(torch.float32, 0.0, 0),
    "tf32": Precision(torch.float32, 2.0**-10, 2),
    "bf16": Precision(torch.bfloat16, 2.0**-8, 3),
}


def error_bound(precision: str, n_terms: int) -> float:
    """How far a correlation in a tile, the sum of so many terms, may lie from the exact one.

    Each rounding of unit u changes a term a_t b_t by at most u |a_t b_t|, and sum |a_t b_t| <= 1 for columns of norm 1
    (Cauchy-Schwarz): m roundings change the correlation by at most (1 + u)^m - 1, whatever the activations. To this
    comes the accumulation, whose n roundings are bounded by sqrt(n) of them (Higham and Mary 2019), taken four times.
    """
    _, unit, n_roundings = PRECISIONS[precision]
    accumulated = (8 + 4 * sqrt(n_terms)) * torch.finfo(PRECISIONS[precision].accumulator).eps / 2
    return (1 + unit) ** n_roundings - 1 + accumulated


@contextmanager
def matmul_settings(precision: str) -> Iterator[None]:
    """Make float32 products mean float32, or tf32 where asked for, and bf16 ones add up in float32."""
    cuda = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision(), cuda.allow_bf16_reduced_precision_reduction
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    cuda.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cuda.allow_bf16_reduced_precision_reduction = before[1]
