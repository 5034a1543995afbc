"""Exact moments of a matrix correlation under permutation, so that RSA has a z-score without sampling."""

import math
from typing import Any, NamedTuple

from jaxtyping import Shaped

from analogue.significance.p_values import ROUNDING
from analogue.similarity import MatrixCorrelation, Scorer, kernels, namespace


class MantelMoments(NamedTuple):
    """Moments of the Mantel statistic over all n! permutations."""

    mean: float
    variance: float


def exact_z(score: float, scorer: Scorer) -> float | None:
    """(score - mean) / sd over all permutations; None for a score that is no correlation of two matrices, or no sd."""
    if not isinstance(scorer, MatrixCorrelation):
        return None
    mean, variance = mantel_moments(scorer.a, kernels(scorer.b).condensed(scorer.b))
    return (score - mean) / math.sqrt(variance) if variance > ROUNDING else None


def mantel_moments(a: Shaped[Any, " n_distances"], b: Shaped[Any, " n_distances"]) -> MantelMoments:
    """Mean and variance of Pearson's r of two matrices over all permutations of the rows and columns of one.

    Pairs of entries fall into three kinds, by how many of their row and column indices they share; a permutation
    takes each kind to itself, all its members equally often. So the second moment is a sum over the three kinds.

    Args:
        a: upper triangle of a symmetric matrix, condensed (`pdist` order), for at least 3 rows; ranks for Spearman's.
            A NumPy array or a tensor in float64.
        b: the other matrix.

    Returns:
        Mean (0, exactly) and variance of the permutation distribution; both NaN where a matrix does not vary.

    Raises:
        ValueError: a and b differ in length, or are no upper triangle of at least 3 rows.

    Source:
        Mantel 1967, Cancer Research 27:209.
    """
    n = _n_rows(len(a), len(b))
    (both_a, one_a, none_a), (both_b, one_b, none_b) = _sums(a, n), _sums(b, n)
    # Divided by how many there are of each kind: ordered choices of 2, 3 and 4 different rows.
    second_moment = 2 * both_a * both_b / (n * (n - 1)) + 4 * one_a * one_b / (n * (n - 1) * (n - 2))
    if n > 3:  # of 3 rows, any two entries share an index
        second_moment += none_a * none_b / (n * (n - 1) * (n - 2) * (n - 3))
    # Each entry of a triangle stands twice in its matrix, on either side of the product, squared.
    return MantelMoments(0.0 * second_moment, second_moment / 4)


def _n_rows(n_a: int, n_b: int) -> int:
    n = (1 + math.isqrt(1 + 8 * n_a)) // 2
    if n_a != n_b or n * (n - 1) // 2 != n_a or n < 3:
        raise ValueError(f"expected two upper triangles of n (n - 1) / 2 entries with n >= 3, got {n_a} and {n_b}")
    return n


def _sums(triangle: Shaped[Any, " n_distances"], n: int) -> tuple[float, float, float]:
    """Sums of products of two entries of a matrix that share both indices, one, and none; entries standardised."""
    xp = namespace(triangle)
    deviations = triangle - triangle.mean()
    norm = xp.linalg.norm(deviations)
    if not norm > 1e-12 * xp.linalg.norm(triangle):
        return math.nan, math.nan, math.nan
    square = kernels(triangle).square(deviations / norm)
    both = 2.0
    one = float(xp.square(square.sum(axis=1)).sum()) - both
    # Deviations sum to 0, so the products of all entries with all do: both twice, (i, j) and (j, i); one four times.
    return both, one, -2 * both - 4 * one
