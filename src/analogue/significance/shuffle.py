"""The shuffled-pairing null: the same features on both sides, paired at random."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Shaped

from analogue.significance.draws import Progress, as_metrics, blas_threads_for, map_over_threads
from analogue.significance.p_values import ROUNDING
from analogue.significance.result import SimilarityResult, results_of
from analogue.similarity import MatrixCorrelation, Metric, Permutation, Scorer, backend, namespace, stays_in_place

# With fewer pairs, threads do not pay: Python's part of a draw, which runs on one core at a time, is too large.
_WORTH_THREADS = 1024


def score_against_null(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    metrics: Sequence[str | Metric],
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> list[SimilarityResult]:
    """Score paired rows with each metric and test each score against shuffled pairings.

    Args:
        x: (n_pairs, d_a) decoder rows of the features of A; NumPy array or torch tensor, on whose device draws are
            scored.
        y: (n_pairs, d_b) decoder rows of their partners.
        metrics: names from `analogue.similarity.METRICS`, or metrics.
        n: number of shuffles, at least 1.
        seed: of the shuffles, and of the random choices of metrics given by name.
        progress: called with the number of shuffles done.

    Returns:
        A result for each metric, without a score where there are too few pairs or no variance.

    Raises:
        ValueError: n below 1, an unknown metric, or input that a metric refuses.
    """
    chosen = as_metrics(metrics, seed)
    with blas_threads_for(len(x)):
        scorers = {each.name: each.prepare(x, y) for each in chosen if len(x) >= each.minimum_pairs}
        scores = {name: scorer(np.arange(len(x))) for name, scorer in scorers.items()}
        defined = {name: scorer for name, scorer in scorers.items() if math.isfinite(scores[name])}
        threads = not stays_in_place(x)
        null = draw_shuffles(defined, len(x), n, seed, progress, threads) if defined else {}
        results = results_of(chosen, x, y, scores, null, seed, "shuffle")
        return [
            replace(each, z_exact=exact_z(scores[each.metric], scorers[each.metric])) if each.metric in null else each
            for each in results
        ]


def draw_shuffles(
    scorers: Mapping[str, Scorer],
    n_pairs: int,
    n: int,
    seed: int,
    progress: Progress | None = None,
    threads: bool = True,
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Scores of `n` random pairings, the same pairings for every metric.

    Args:
        scorers: by metric name, the score as a function of the permutation.
        n_pairs: number of pairs to shuffle.
        n: number of draws, at least 1.
        seed: draw i depends only on the seed, i and n_pairs, not on which metrics are asked for.
        progress: called with the number of draws done.
        threads: whether large draws may run side by side; on a GPU they would only wait for each other.

    Returns:
        By metric name, (n,) scores.

    Raises:
        ValueError: n below 1.

    Source:
        Lan et al. 2024, arXiv 2410.06981, Test 1 and the main results.
    """
    if n < 1:
        raise ValueError(f"expected at least 1 draw, got {n}")
    generator = np.random.default_rng(seed)
    permutations = (generator.permutation(n_pairs) for _ in range(n))

    def score_all(permutation: Permutation) -> list[float]:
        return [scorer(permutation) for scorer in scorers.values()]

    scores = np.empty((len(scorers), n))
    worth_threads = threads and n_pairs >= _WORTH_THREADS
    for draw, scored in enumerate(map_over_threads(score_all, permutations, worth_threads)):
        scores[:, draw] = scored
        if progress is not None:
            progress(draw + 1)
    return dict(zip(scorers, scores, strict=True))


class MantelMoments(NamedTuple):
    """Moments of the Mantel statistic over all n! permutations."""

    mean: float
    variance: float


def exact_z(score: float, scorer: Scorer) -> float | None:
    """(score - mean) / sd over all permutations; None if the score does not correlate two matrices, or sd is 0."""
    if not isinstance(scorer, MatrixCorrelation):
        return None
    mean, variance = mantel_moments(scorer.a, backend.condensed(scorer.b))
    return (score - mean) / math.sqrt(variance) if variance > ROUNDING else None


def mantel_moments(a: Shaped[Any, " n_distances"], b: Shaped[Any, " n_distances"]) -> MantelMoments:
    """Mean and variance of Pearson's r of two matrices over all permutations of the rows and columns of one.

    Pairs of entries are of three kinds, by how many of their row and column indices they share: both, one or none. A
    permutation maps each kind to itself, and reaches all its members equally often. So the second moment is a sum over
    the three kinds.

    Args:
        a: upper triangle of a symmetric matrix, condensed (`pdist` order), for at least 3 rows; ranks for Spearman's.
            A NumPy array or a tensor in float64.
        b: the other matrix.

    Returns:
        Mean (0, exactly) and variance of the permutation distribution; both NaN where a matrix does not vary.

    Raises:
        ValueError: a and b differ in length, or are not upper triangles of at least 3 rows.

    Source:
        Mantel 1967, Cancer Research 27:209.
    """
    n = (1 + math.isqrt(1 + 8 * len(a))) // 2
    if len(a) != len(b) or n * (n - 1) // 2 != len(a) or n < 3:
        expected = "two upper triangles of n (n - 1) / 2 entries with n >= 3"
        raise ValueError(f"expected {expected}, got {len(a)} and {len(b)}")
    (both_a, one_a, none_a), (both_b, one_b, none_b) = _sums(a), _sums(b)
    # Each product is divided by how many there are of its kind: ordered choices of 2, 3 and 4 different rows.
    second_moment = 2 * both_a * both_b / (n * (n - 1)) + 4 * one_a * one_b / (n * (n - 1) * (n - 2))
    if n > 3:  # of 3 rows, any two entries share an index
        second_moment += none_a * none_b / (n * (n - 1) * (n - 2) * (n - 3))
    # A sum over a matrix is twice that over its triangle, so its square is four times as large.
    return MantelMoments(0.0 * second_moment, second_moment / 4)


def _sums(triangle: Shaped[Any, " n_distances"]) -> tuple[float, float, float]:
    """Sums of products of two standardised entries of a matrix that share both indices, one index, and none."""
    xp = namespace(triangle)
    deviations = triangle - triangle.mean()
    norm = xp.linalg.norm(deviations)
    if not norm > 1e-12 * xp.linalg.norm(triangle):
        return math.nan, math.nan, math.nan
    square = backend.square(deviations / norm)
    both = 2.0
    one = float(xp.square(square.sum(axis=1)).sum()) - both
    # Deviations sum to 0, and so do the products of all entries with all entries. In that sum `both` occurs twice, for
    # (i, j) and (j, i), and `one` four times.
    return both, one, -2 * both - 4 * one
