"""NumPy or torch: the steps for which the two have no function of the same name, or none that is fast in both.

Each function takes NumPy arrays or float64 tensors, and computes on the tensor's device. torch, scipy and numba take a
while to load: they are imported on first use.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt32

from analogue.compiled import compiled
from analogue.cores import usable_cores

Array = Any
"""A NumPy array, or a torch tensor on a device: formulas use the names that NumPy and torch have in common."""
Permutation = Int64[np.ndarray, " n_pairs"]
Scorer = Callable[[Permutation], float]
"""The score of (x, y[permutation]); what a permutation does not change was computed before."""

# A tensor's singular vectors come from a Gram matrix if its eigenvalues, relative to the largest, are at least this:
# then they are orthonormal to 1e-11.
_PRECISE_VECTORS = 1e-5
# The square root turns an error e of a squared singular value s^2 into e / 2s: 5e-11 of the largest at this ratio.
_PRECISE_VALUES = 1e-10
# Up to this size, singular values cost next to nothing.
_SMALL = 64
# A tensor's nuclear norm may miss singular values below this, relative to 1.
_NEGLIGIBLE = 1e-12
# What an iteration may take the largest singular values down to: lower, and they would lose digits.
_SAFE = 0.05
# With fewer rows, a draw takes less time than starting a thread for it.
_WORTH_THREADS = 1024


def is_tensor(matrix: Any) -> bool:
    """Whether this is a torch tensor; does not load torch."""
    return hasattr(matrix, "detach")


def namespace(matrix: Array) -> ModuleType:
    """NumPy or torch, for the names that they have in common."""
    if not is_tensor(matrix):
        return np
    import torch

    return torch


def as_array(matrix: Any) -> Float64[np.ndarray, "..."]:
    """An array or a tensor of any device as a NumPy array of float64."""
    return np.asarray(matrix.detach().cpu().double() if is_tensor(matrix) else matrix, dtype=np.float64)


def distances(matrix: Float64[Array, "n d"]) -> Float64[Array, " n_distances"]:
    """Euclidean distance of every two rows, condensed (`pdist` order: the upper triangle row by row)."""
    if is_tensor(matrix):
        return namespace(matrix).pdist(matrix)
    from scipy.spatial.distance import pdist

    return pdist(matrix)


def angles(directions: Float64[Array, "n d"]) -> Float64[Array, " n_distances"]:
    """1 - cosine of every two rows of unit norm, condensed."""
    if is_tensor(directions):
        return 1.0 - condensed(directions @ directions.T)
    from scipy.spatial.distance import pdist

    return pdist(directions, "cosine")


def square(triangle: Shaped[Array, " n_entries"]) -> Shaped[Array, "n n"]:
    """The symmetric matrix of a condensed upper triangle, its diagonal 0."""
    if is_tensor(triangle):
        upper = _upper(triangle)
        return upper + upper.T
    from scipy.spatial.distance import squareform

    return squareform(triangle)


def condensed(matrix: Shaped[Array, "n n"]) -> Shaped[Array, " n_entries"]:
    """The upper triangle of a symmetric matrix."""
    if is_tensor(matrix):
        return matrix[_upper_indices(matrix, len(matrix))]
    from scipy.spatial.distance import squareform

    return squareform(matrix, checks=False)


def centred_ranks(values: Float64[Array, " n"], tolerance: float = 0.0) -> Shaped[Array, " n"]:
    """Twice the ranks, average ranks for ties, less twice their mean: integers, in 4 bytes each for arrays.

    In ascending order, values tie with the next if they differ from it by no more than the tolerance.
    """
    n = len(values)
    if is_tensor(values):
        ordered, order = values.sort()
        group = (ordered.diff() > tolerance).cumsum(0)
        group = namespace(values).cat([group.new_zeros(1), group])
        n_tied = group.bincount()
        ranks = namespace(values).empty_like(values)
        # Ties hold the ranks end - n_tied + 1 to end: their mean is half the sum of the two.
        ranks[order] = (2 * n_tied.cumsum(0) - n_tied - n).double()[group]
        return ranks
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) > tolerance]))
    ends = np.append(starts[1:], n)
    dtype = np.int32 if n < 2**31 else np.int64
    ranks = np.empty(n, dtype=dtype)
    # Ties hold the ranks start + 1 to end: twice their mean is start + 1 + end, and n + 1 twice the mean of all.
    ranks[order] = np.repeat((starts + ends - n).astype(dtype), ends - starts)
    return ranks


def median(values: Float64[Array, " n"]) -> Any:
    """The middle value, or the mean of the two."""
    if is_tensor(values):
        return values.sort().values[(len(values) - 1) // 2 : len(values) // 2 + 1].mean()
    return np.median(values)


def kth_smallest(matrix: Float64[Array, "n m"], k: int) -> Float64[Array, "n 1"]:
    """The k-th smallest entry of every row, counted from 1."""
    if is_tensor(matrix):
        return matrix.topk(k, largest=False).values[:, -1:]
    return np.partition(matrix, k - 1, axis=1)[:, [k - 1]]


def row_sums(values: Float64[Array, " n_entries"], rows: Int64[Array, " n_entries"], n: int) -> Float64[Array, " n"]:
    """Sums of the values of each of n rows."""
    if is_tensor(values):
        return values.new_zeros(n).index_add_(0, rows, values)
    return np.bincount(rows, weights=values, minlength=n)


def leading_svd(
    matrix: Float64[Array, "n d"], n_kept: Callable[[Float64[Array, " r"]], int]
) -> tuple[Float64[Array, "n k"], Float64[Array, " k"], Float64[Array, "k d"]]:
    """The leading singular triples, as many as `n_kept` of the singular values.

    Those of a tensor come from the eigenvectors of the smaller Gram matrix, which a GPU finds many times faster, unless
    those that are kept would lose digits.
    """
    linalg = namespace(matrix).linalg
    if is_tensor(matrix):
        tall = len(matrix) >= matrix.shape[1]
        squared, vectors = linalg.eigh(matrix.T @ matrix if tall else matrix @ matrix.T)
        singular_values = squared.clamp(min=0).sqrt().flip(0)
        k = n_kept(singular_values)
        if k > 0 and squared[-k] >= _PRECISE_VECTORS * squared[-1]:
            vectors, singular_values = vectors.flip(1)[:, :k], singular_values[:k]
            if tall:
                return matrix @ vectors / singular_values, singular_values, vectors.T
            return vectors, singular_values, vectors.T @ matrix / singular_values[:, None]
    left, singular_values, right = linalg.svd(matrix, full_matrices=False)
    k = n_kept(singular_values)
    return left[:, :k], singular_values[:k], right[:k]


def nuclear_norm(matrix: Float64[Array, "m k"]) -> float:
    """Sum of the singular values of a matrix; of a tensor, none of them may exceed 1.

    On the CPU, the eigenvalues of the smaller Gram matrix take a third of the time of singular values. Where small ones
    would be lost in the rounding of the largest, singular values are computed after all.
    """
    if is_tensor(matrix):
        return _product_with_polar_factor(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T)
    if min(matrix.shape) <= _SMALL:
        return float(np.linalg.svd(matrix, compute_uv=False).sum())
    squared = np.linalg.eigvalsh(matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix)
    if squared[0] < _PRECISE_VALUES * squared[-1]:
        return float(np.linalg.svd(matrix, compute_uv=False).sum())
    return float(np.sqrt(squared).sum())


def _product_with_polar_factor(wide: Float64[Array, "m k"]) -> float:
    """Sum of the singular values of a tensor as its inner product with its polar factor.

    Decompositions keep a GPU waiting; the polar factor takes products alone. Newton and Schulz's iteration
    s -> s (3 - s^2) / 2, its argument scaled as far as [lowest, 1] stays within (0, 1], takes every singular value from
    1e-12 up to 1. A smaller one, s, contributes between 0 and s, so that the sum is exact to 1e-12 for each.

    Source:
        Higham 2008, "Functions of Matrices", section 8.3; the scaling of Chen and Chow 2014, "A stable scaling of
        Newton-Schulz for improving the sign function computation of a Hermitian matrix", ANL/MCS-P5059-0114.
    """
    xp = namespace(wide)
    if len(wide) == 1:
        return float(xp.linalg.norm(wide))
    polar, lowest = wide, _NEGLIGIBLE
    while lowest < 1 - 1e-14:
        bound = max(lowest, _SAFE)
        scale = math.sqrt(3 / (1 + bound + bound**2))  # takes the bound and 1 to the same value
        polar = xp.addmm(polar, polar @ polar.T, polar, beta=1.5 * scale, alpha=-0.5 * scale**3)
        lowest = 1.5 * scale * lowest - 0.5 * (scale * lowest) ** 3
    return float((polar * wide).sum())


def permuted_dot(a: Shaped[Array, " n_entries"], b: Shaped[Array, "n n"], n_threads: int | None = None) -> Scorer:
    """Sum over i < j of a[i, j] * b[permutation[i], permutation[j]] as a function of the permutation.

    On the CPU each row is summed by one thread, and the rows' sums in one order: the number of threads does not change
    a bit. On a device the n^2 entries of b are gathered per draw, beside the two matrices that are kept.

    Args:
        a: upper triangle, condensed (`pdist` order); float64, or integers that products in float64 can hold.
        b: square, symmetric.
        n_threads: on the CPU; defaults to the cores this process may use, if there are rows enough.
    """
    n = len(b)
    if is_tensor(b):
        upper, as_tensor = _upper(a).ravel(), namespace(b).as_tensor

        def on_device(permutation: Permutation) -> float:
            order = as_tensor(permutation, device=b.device)
            return float(upper @ b[order[:, None], order].ravel())

        return on_device
    row_dots = _compiled_row_dots()
    n_threads = n_threads or (usable_cores() if n >= _WORTH_THREADS else 1)
    # Rows get shorter downwards: these cuts give every thread the same area of the triangle.
    cuts = [round(n * (1 - (1 - share / n_threads) ** 0.5)) for share in range(n_threads + 1)]
    pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def on_cpu(permutation: Permutation) -> float:
        order = np.asarray(permutation).astype(np.uint32)  # unsigned: no check for negative indices
        dots = np.zeros(n)
        if pool is None:
            row_dots(a, b, order, 0, n, dots)
            return float(dots.sum())
        for job in [pool.submit(row_dots, a, b, order, first, last, dots) for first, last in pairwise(cuts)]:
            job.result()
        return float(dots.sum())

    return on_cpu


@cache
def _compiled_row_dots() -> Callable[..., None]:
    return compiled(fastmath={"contract", "reassoc"})(_row_dots)


def _row_dots(
    a: Shaped[np.ndarray, " n_entries"],
    b: Shaped[np.ndarray, "n n"],
    permutation: UInt32[np.ndarray, " n"],
    first: int,
    last: int,
    dots: Float64[np.ndarray, " n"],
) -> None:
    """dots[i] = sum over j > i of a[i, j] * b[permutation[i], permutation[j]], for the rows from first to last.

    A row of b is gathered from while it lies in the cache.
    """
    n = len(permutation)
    for i in range(first, last):
        start = i * n - i * (i + 1) // 2
        entries, columns = a[start : start + n - 1 - i], permutation[i + 1 :]
        row = b[permutation[i]]
        total = 0.0
        for j in range(len(columns)):
            total += np.float64(entries[j]) * np.float64(row[columns[j]])
        dots[i] = total


def _upper(triangle: Float64[Array, " n_entries"]) -> Float64[Array, "n n"]:
    """The matrix of a condensed upper triangle, a tensor; 0 on and below its diagonal."""
    n = (1 + math.isqrt(1 + 8 * len(triangle))) // 2
    matrix = triangle.new_zeros(n, n)
    matrix[_upper_indices(triangle, n)] = triangle
    return matrix


def _upper_indices(tensor: Array, n: int) -> tuple[Int64[Array, " n_entries"], Int64[Array, " n_entries"]]:
    """Rows and columns of the entries above the diagonal of an n x n matrix, on the tensor's device."""
    row, column = namespace(tensor).triu_indices(n, n, offset=1, device=tensor.device)
    return row, column
