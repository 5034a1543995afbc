"""The steps that have a twin in `on_cpu`, for tensors in float64: computed where the tensor lies."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from analogue.similarity.inputs import Permutation

# Of the largest eigenvalue, what eigenvectors of a Gram matrix must have to be orthonormal singular vectors to 1e-11.
_PRECISE = 1e-5
# Singular values below this, relative to 1, may be missing in a nuclear norm.
_NEGLIGIBLE = 1e-12
# What an iteration may take the largest singular values down to: lower, and they would lose digits.
_SAFE = 0.05


def distances(matrix: Float64[Tensor, "n d"]) -> Float64[Tensor, " n_distances"]:
    """Euclidean distance of every two rows, condensed (`pdist` order: the upper triangle row by row)."""
    return torch.pdist(matrix)


def angles(directions: Float64[Tensor, "n d"]) -> Float64[Tensor, " n_distances"]:
    """1 - cosine of every two rows of unit norm, condensed."""
    return 1.0 - condensed(directions @ directions.T)


def square(triangle: Float64[Tensor, " n_entries"]) -> Float64[Tensor, "n n"]:
    """The symmetric matrix of a condensed upper triangle, its diagonal 0."""
    upper = _upper(triangle)
    return upper + upper.T


def condensed(matrix: Float64[Tensor, "n n"]) -> Float64[Tensor, " n_entries"]:
    """The upper triangle of a symmetric matrix."""
    n = len(matrix)
    row, column = torch.triu_indices(n, n, offset=1, device=matrix.device)
    return matrix[row, column]


def centred_ranks(values: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """Twice the ranks, average ranks for ties, less twice their mean: integers."""
    _, place, n_tied = torch.unique(values, return_inverse=True, return_counts=True)
    # Ties hold the ranks end - n_tied + 1 to end: their mean is half the sum of the two.
    return (2 * n_tied.cumsum(0) - n_tied - len(values)).double()[place]


def median(values: Float64[Tensor, " n"]) -> Float64[Tensor, ""]:
    """The middle value, or the mean of the two."""
    return torch.sort(values).values[(len(values) - 1) // 2 : len(values) // 2 + 1].mean()


def kth_smallest(matrix: Float64[Tensor, "n m"], k: int) -> Float64[Tensor, "n 1"]:
    """The k-th smallest entry of every row, counted from 1."""
    return torch.topk(matrix, k, largest=False).values[:, -1:]


def leading_svd(
    matrix: Float64[Tensor, "n d"], n_kept: Callable[[Float64[Tensor, " r"]], int]
) -> tuple[Float64[Tensor, "n k"], Float64[Tensor, " k"], Float64[Tensor, "k d"]]:
    """As many leading singular triples as are kept of the singular values.

    From the eigenvectors of the smaller Gram matrix, which a GPU finds many times faster, where those kept lose no
    digits by it.
    """
    tall = len(matrix) >= matrix.shape[1]
    squared, vectors = torch.linalg.eigh(matrix.T @ matrix if tall else matrix @ matrix.T)
    singular_values = squared.clamp(min=0).sqrt().flip(0)
    k = n_kept(singular_values)
    if k == 0 or squared[-k] < _PRECISE * squared[-1]:
        left, singular_values, right = torch.linalg.svd(matrix, full_matrices=False)
        k = n_kept(singular_values)
        return left[:, :k], singular_values[:k], right[:k]
    vectors, singular_values = vectors.flip(1)[:, :k], singular_values[:k]
    if tall:
        return matrix @ vectors / singular_values, singular_values, vectors.T
    return vectors, singular_values, vectors.T @ matrix / singular_values[:, None]


def row_sums(values: Float64[Tensor, " n_entries"], rows: Int64[Tensor, " n_entries"], n: int) -> Float64[Tensor, " n"]:
    """Sums of the values of each of n rows."""
    return values.new_zeros(n).index_add_(0, rows, values)


def nuclear_norm(matrix: Float64[Tensor, "m k"]) -> float:
    """Sum of the singular values, of which none may exceed 1: the inner product of a matrix with its polar factor.

    Decompositions keep a GPU waiting; the polar factor takes products alone. Newton and Schulz's iteration
    s -> s (3 - s^2) / 2, its argument scaled as far as [lowest, 1] stays within (0, 1], takes every singular value from
    1e-12 up to 1. A smaller one, s, counts for something from 0 to s, so that the sum is exact to 1e-12 for each.

    Source:
        Higham 2008, "Functions of Matrices", section 8.3; the scaling of Chen and Chow 2014, "A stable scaling of
        Newton-Schulz for improving the sign function computation of a Hermitian matrix", ANL/MCS-P5059-0114.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    if len(wide) == 1:
        return float(torch.linalg.norm(wide))
    polar, lowest = wide, _NEGLIGIBLE
    while lowest < 1 - 1e-14:
        bound = max(lowest, _SAFE)
        scale = math.sqrt(3 / (1 + bound + bound**2))  # takes the bound and 1 to the same value
        polar = torch.addmm(polar, polar @ polar.T, polar, beta=1.5 * scale, alpha=-0.5 * scale**3)
        lowest = 1.5 * scale * lowest - 0.5 * (scale * lowest) ** 3
    return float((polar * wide).sum())


class PermutedDot:
    """Sum over i < j of a[i, j] * b[permutation[i], permutation[j]] as a function of the permutation.

    A draw gathers the n^2 entries of b in one go, beside the two matrices that are kept.

    Args:
        a: upper triangle, condensed.
        b: square, symmetric.
    """

    def __init__(self, a: Float64[Tensor, " n_entries"], b: Float64[Tensor, "n n"]) -> None:
        self._a, self._b = _upper(a).ravel(), b

    def __call__(self, permutation: Permutation) -> float:
        order = torch.as_tensor(permutation, device=self._b.device)
        return float(self._a @ self._b[order[:, None], order].ravel())


def _upper(triangle: Float64[Tensor, " n_entries"]) -> Float64[Tensor, "n n"]:
    """The matrix of a condensed upper triangle, 0 on and below its diagonal."""
    n = (1 + math.isqrt(1 + 8 * len(triangle))) // 2
    row, column = torch.triu_indices(n, n, offset=1, device=triangle.device)
    matrix = triangle.new_zeros(n, n)
    matrix[row, column] = triangle
    return matrix
