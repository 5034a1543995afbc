"""The steps that have a twin in `on_device`, for NumPy arrays."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from scipy.spatial.distance import pdist, squareform

from analogue.similarity.nuclear_norm import nuclear_norm
from analogue.similarity.permuted_dot import PermutedDot

__all__ = [
    "PermutedDot",
    "angles",
    "centred_ranks",
    "condensed",
    "distances",
    "kth_smallest",
    "leading_svd",
    "median",
    "nuclear_norm",
    "row_sums",
    "square",
]


def distances(matrix: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, " n_distances"]:
    """Euclidean distance of every two rows, condensed (`pdist` order: the upper triangle row by row)."""
    return pdist(matrix)


def angles(directions: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, " n_distances"]:
    """1 - cosine of every two rows of unit norm, condensed."""
    return pdist(directions, "cosine")


def square(triangle: Shaped[np.ndarray, " n_entries"]) -> Shaped[np.ndarray, "n n"]:
    """The symmetric matrix of a condensed upper triangle, its diagonal 0."""
    return squareform(triangle)


def condensed(matrix: Shaped[np.ndarray, "n n"]) -> Shaped[np.ndarray, " n_entries"]:
    """The upper triangle of a symmetric matrix."""
    return squareform(matrix, checks=False)


def centred_ranks(values: Float64[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Twice the ranks, average ranks for ties, less twice their mean: integers, so exact in 4 bytes."""
    n = len(values)
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], n)
    dtype = np.int32 if n < 2**31 else np.int64
    ranks = np.empty(n, dtype=dtype)
    # Ties hold the ranks start + 1 to end: twice their mean is start + 1 + end, and n + 1 twice the mean of all.
    ranks[order] = np.repeat((starts + ends - n).astype(dtype), ends - starts)
    return ranks


def median(values: Float64[np.ndarray, " n"]) -> np.floating:
    """The middle value, or the mean of the two."""
    return np.median(values)


def kth_smallest(matrix: Float64[np.ndarray, "n m"], k: int) -> Float64[np.ndarray, "n 1"]:
    """The k-th smallest entry of every row, counted from 1."""
    return np.partition(matrix, k - 1, axis=1)[:, [k - 1]]


def leading_svd(
    matrix: Float64[np.ndarray, "n d"], n_kept: Callable[[Float64[np.ndarray, " r"]], int]
) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, " k"], Float64[np.ndarray, "k d"]]:
    """As many leading singular triples as are kept of the singular values."""
    left, singular_values, right = np.linalg.svd(matrix, full_matrices=False)
    k = n_kept(singular_values)
    return left[:, :k], singular_values[:k], right[:k]


def row_sums(
    values: Float64[np.ndarray, " n_entries"], rows: Int64[np.ndarray, " n_entries"], n: int
) -> Float64[np.ndarray, " n"]:
    """Sums of the values of each of n rows."""
    return np.bincount(rows, weights=values, minlength=n)
