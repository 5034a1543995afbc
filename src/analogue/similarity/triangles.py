"""Distance matrices of too many rows to be kept as numbers: computed in blocks, twice, and kept as small integers.

The first pass counts distances by their leading bits, which gives every distance its rank; the second pass keeps the
ranks, rounded to 16 bits, or to 8 where there are more than `MOST_OF_16_BITS` rows. Rounded so, a correlation of ranks
differs from the exact one by less than 1e-6, or 2e-5. Distances themselves are rounded to 16 bits of their range.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt32

from analogue.compiled import compiled
from analogue.similarity import backend
from analogue.similarity.backend import Permutation, Scorer
from analogue.similarity.inputs import undefined

MOST_OF_16_BITS = 20_000
ROWS_AT_ONCE = 256
SHIFT = 5  # of a distance's 32 bits, those that are not counted: 18 bits of its mantissa are
BINS = 2**22  # 16 powers of 2 below what no distance exceeds; shorter distances are as one


def streamed_correlation(
    x: Float64[np.ndarray, "n d_a"], y: Float64[np.ndarray, "n d_b"], inner: str, by_rank: bool
) -> Scorer:
    """Correlation of the upper triangles of two distance matrices as a function of a permutation of the second.

    Memory: 3 n^2 bytes, or 1.5 n^2 for ranks beyond `MOST_OF_16_BITS` rows, and two blocks of distances meanwhile.

    Args:
        x: rows whose distances are taken, centred where `inner` is `correlation`.
        y: as many rows.
        inner: `euclidean`, `correlation` or `cosine`.
        by_rank: whether ranks are correlated, or distances.
    """
    n = len(x)
    dtype = np.dtype(np.int16 if n <= MOST_OF_16_BITS or not by_rank else np.int8)
    a, b = (Codes.of(side, inner, by_rank, dtype) for side in (x, y))
    if a is None or b is None:
        return undefined
    triangle = a.filled(np.empty(n * (n - 1) // 2, dtype))
    square = b.filled(np.zeros((n, n), dtype))
    dot = backend.permuted_dot(triangle, square)
    n_distances, mean, norms = len(triangle), a.mean * b.mean, a.deviation * b.deviation

    def score(permutation: Permutation) -> float:
        return float(np.clip((dot(permutation) / n_distances - mean) / norms, -1.0, 1.0))

    return score


class Codes:
    """What every distance of a matrix is kept as.

    Attributes:
        blocks: yields the first row of a block, and the bins of the distances of its rows from those after it.
        code: (BINS,) of each bin.
        mean: of the codes of all distances.
        deviation: their standard deviation.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterator[Any]],
        counts: Int64[np.ndarray, " bins"],
        lowest: int,
        by_rank: bool,
        dtype: Any,
    ) -> None:
        self.blocks = blocks
        bins = np.flatnonzero(counts)
        found = counts[bins].astype(np.float64)
        if by_rank:
            values = found.cumsum() - (found + 1) / 2
        else:
            values = ((bins + lowest) << SHIFT).astype(np.uint32).view(np.float32).astype(np.float64)
        limits = np.iinfo(dtype)
        share = (values - values[0]) / max(values[-1] - values[0], 1e-300)
        code = np.rint(limits.min + share * (limits.max - limits.min))
        self.code = np.zeros(len(counts), dtype)
        self.code[bins] = code
        total = found.sum()
        self.mean = float(found @ code / total)
        self.deviation = float(np.sqrt(found @ (code - self.mean) ** 2 / total))

    @classmethod
    def of(cls, matrix: Float64[np.ndarray, "n d"], inner: str, by_rank: bool, dtype: Any) -> "Codes | None":
        """Those of a matrix; None if its distances do not vary, or one is undefined."""
        rows = matrix - matrix.mean(axis=0) if inner == "euclidean" else matrix
        squared = (rows**2).sum(axis=1)
        if inner != "euclidean":
            if not (squared > 0).all():
                return None
            rows = rows / np.sqrt(squared)[:, None]
            squared = np.ones(len(rows))
        longest = np.float32(2.0 * np.sqrt(squared.max()) if inner == "euclidean" else 4.0)
        lowest = max(0, int(longest.view(np.uint32) >> SHIFT) + 2 - BINS)

        def blocks() -> Iterator[Any]:
            for first in range(0, len(rows), ROWS_AT_ONCE):
                some = slice(first, first + ROWS_AT_ONCE)
                distances = rows[some] @ rows[first:].T  # of unit rows, twice 1 - cosine
                distances *= -2.0
                distances += squared[some, None]
                distances += squared[first:]
                np.maximum(distances, 0.0, out=distances)
                if inner == "euclidean":
                    np.sqrt(distances, out=distances)
                bits = distances.astype(np.float32).view(np.uint32) >> SHIFT
                yield first, np.clip(bits, lowest, lowest + BINS - 1) - np.uint32(lowest)

        counts = np.zeros(BINS, dtype=np.int64)
        for _, bits in blocks():
            _kernels()[0](bits, counts)
        return cls(blocks, counts, lowest, by_rank, dtype) if np.count_nonzero(counts) > 1 else None

    def filled(self, array: Integer[np.ndarray, "..."]) -> Integer[np.ndarray, "..."]:
        """The codes of all distances, in a condensed triangle or a square matrix."""
        fill = _kernels()[array.ndim]
        for first, bits in self.blocks():
            fill(bits, first, self.code, array)
        return array


@cache
def _kernels() -> list[Callable[..., None]]:
    return [compiled()(each) for each in (_count, _fill_triangle, _fill_square)]


def _count(bits: UInt32[np.ndarray, "rows columns"], counts: Int64[np.ndarray, " n_bins"]) -> None:
    for row in range(len(bits)):
        for column in range(row + 1, bits.shape[1]):
            counts[bits[row, column]] += 1


def _fill_triangle(bits: UInt32[np.ndarray, "rows columns"], first: int, code: Any, triangle: Any) -> None:
    n = first + bits.shape[1]
    for row in range(len(bits)):
        i = first + row
        start = i * n - i * (i + 1) // 2 - row - 1
        for column in range(row + 1, bits.shape[1]):
            triangle[start + column] = code[bits[row, column]]


def _fill_square(bits: UInt32[np.ndarray, "rows columns"], first: int, code: Any, square: Any) -> None:
    for row in range(len(bits)):
        for column in range(row + 1, bits.shape[1]):
            value = code[bits[row, column]]
            square[first + row, first + column] = value
            square[first + column, first + row] = value
