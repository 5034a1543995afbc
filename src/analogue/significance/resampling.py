"""Nulls that draw other features: random subsets that are paired again, and random pairs of both whole spaces."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from analogue.significance.draws import Progress, as_metrics, blas_threads_for, map_over_threads
from analogue.significance.result import SimilarityResult, results_of
from analogue.similarity import Metric, stays_in_place

Features = Int64[np.ndarray, " n"]
Draw = Callable[[np.random.Generator], tuple[Float[Any, "n_pairs d_a"], Float[Any, "n_pairs d_b"]]]
"""Paired rows drawn at random; draws may differ in their number of pairs."""
PairSubsets = Callable[[Features, Features], tuple[Features, Features]]
"""From features of A and features of B, both ascending, to pairs: the features of A, and their partners in B."""

# The draws' mean number of pairs may differ from that of the score by this fraction: metrics depend on it.
_OTHER_SIZE = 0.25
# With fewer pairs, threads do not pay: Python's part of a draw, which runs on one core at a time, is too large.
_WORTH_THREADS = 40


def random_subset(
    decoder_a: Float[Any, "d_sae_a d_a"],
    decoder_b: Float[Any, "d_sae_b d_b"],
    n_features_a: int,
    n_features_b: int,
    pair: PairSubsets,
    features_a: Features,
    features_b: Features,
) -> Draw:
    """Random features of either side, paired in the same way as the tested subspaces (paper, section 3, Test 2).

    Args:
        decoder_a: (d_sae_a, d_a) decoder rows of A; NumPy array or torch tensor of any device.
        decoder_b: (d_sae_b, d_b) decoder rows of B.
        n_features_a: how many features of A to draw: as many as the subspace has, before pairing.
        n_features_b: likewise of B.
        pair: pairs two subsets by the correlations within them alone.
        features_a: features of A to draw from, each once; only features that have variance have a pair.
        features_b: likewise of B.

    Raises:
        ValueError: there are fewer features than are to be drawn.
    """
    _check(n_features_a, features_a, "A")
    _check(n_features_b, features_b, "B")

    def draw(generator: np.random.Generator) -> tuple[Any, Any]:
        subset_a = np.sort(generator.choice(features_a, n_features_a, replace=False))
        subset_b = np.sort(generator.choice(features_b, n_features_b, replace=False))
        paired_a, paired_b = pair(subset_a, subset_b)
        return decoder_a[paired_a], decoder_b[paired_b]

    return draw


def random_pairs(
    decoder_a: Float[Any, "d_sae_a d_a"],
    decoder_b: Float[Any, "d_sae_b d_b"],
    n_pairs: int,
    features_a: Features,
    features_b: Features,
) -> Draw:
    """Random features of both whole spaces, paired at random, no feature twice.

    Args:
        decoder_a: (d_sae_a, d_a) decoder rows of A; NumPy array or torch tensor of any device.
        decoder_b: (d_sae_b, d_b) decoder rows of B.
        n_pairs: how many pairs to draw.
        features_a: features of A to draw from, each once.
        features_b: likewise of B.

    Raises:
        ValueError: there are fewer features than are to be drawn.
    """
    _check(n_pairs, features_a, "A")
    _check(n_pairs, features_b, "B")

    def draw(generator: np.random.Generator) -> tuple[Any, Any]:
        paired_a, paired_b = (generator.choice(side, n_pairs, replace=False) for side in (features_a, features_b))
        return decoder_a[paired_a], decoder_b[paired_b]

    return draw


def score_against_draws(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    metrics: Sequence[str | Metric],
    draw: Draw,
    null: str,
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> list[SimilarityResult]:
    """Score paired rows with each metric and test each score against draws of other pairs.

    Args:
        x: (n_pairs, d_a) decoder rows of the features of A; NumPy array or torch tensor.
        y: (n_pairs, d_b) decoder rows of their partners.
        metrics: names from `analogue.similarity.METRICS`, or metrics.
        draw: makes one draw of the null, which is scored on the device of its rows.
        null: its name in the record: `random_subset` or `random_pairs`.
        n: number of draws, at least 1.
        seed: of the draws, and of the random choices of metrics given by name; draw i depends only on the seed and i,
            not on which metrics are asked for.
        progress: called with the number of draws done.

    Returns:
        A result for each metric, without a score where there are too few pairs or no variance. Draws with too few
        pairs have no score; they count against the score.

    Raises:
        ValueError: n below 1, an unknown metric, or input that a metric refuses.
    """
    chosen = as_metrics(metrics, seed)
    with blas_threads_for(len(x)):
        scores = {each.name: each(x, y) for each in chosen if len(x) >= each.minimum_pairs}
        defined = [each for each in chosen if math.isfinite(scores.get(each.name, math.nan))]
        draws, n_pairs = draw_scores(draw, defined, n, seed, progress) if defined else ({}, np.empty(0))
        results = results_of(chosen, x, y, scores, draws, seed, null)
    return [replace(each, warnings=[*each.warnings, *_size_warnings(each, n_pairs)]) for each in results]


def draw_scores(
    draw: Draw, metrics: Sequence[Metric], n: int, seed: int, progress: Progress | None = None
) -> tuple[dict[str, Float64[np.ndarray, " n"]], Int64[np.ndarray, " n"]]:
    """Scores of n draws by metric, NaN where a draw has too few pairs, and the number of pairs of each draw.

    Raises:
        ValueError: n below 1, or input that a metric refuses.
    """
    if n < 1:
        raise ValueError(f"expected at least 1 draw, got {n}")

    def score_one(i: int) -> tuple[int, list[float]]:
        x, y = draw(np.random.default_rng([seed, i]))
        return len(x), [each(x, y) if len(x) >= each.minimum_pairs else math.nan for each in metrics]

    n_pairs, scores = np.empty(n, dtype=np.int64), np.empty((len(metrics), n))
    first, _ = draw(np.random.default_rng([seed, 0]))
    worth_threads = len(first) >= _WORTH_THREADS and not stays_in_place(first)
    for i, (size, scored) in enumerate(map_over_threads(score_one, range(n), worth_threads)):
        n_pairs[i], scores[:, i] = size, scored
        if progress is not None:
            progress(i + 1)
    return {each.name: of_metric for each, of_metric in zip(metrics, scores, strict=True)}, n_pairs


def _check(n: int, features: Features, side: str) -> None:
    if not 0 <= n <= len(features):
        raise ValueError(f"expected {n} features of {side} to draw from, got {len(features)}")


def _size_warnings(result: SimilarityResult, n_pairs: Int64[np.ndarray, " n"]) -> list[str]:
    if result.score is None or abs(n_pairs.mean() - result.n_pairs) <= _OTHER_SIZE * result.n_pairs:
        return []
    return [f"draws of {result.null} have {n_pairs.mean():.1f} pairs on average, the score {result.n_pairs}"]
