"""Scores of paired features by their activations: tokens are rows, features are columns."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from analogue.significance.draws import Progress, as_metrics, blas_threads_for
from analogue.significance.permuted import Order, permuted_tokens
from analogue.significance.result import SimilarityResult, against_null
from analogue.similarity import Metric, rows_of_moments

if TYPE_CHECKING:
    from scipy.sparse import csc_array

    from analogue.features import FeatureActivations

ON_ACTIVATIONS = "activations"
# The most columns of both sides together whose inner products are taken: 33 MB.
_MOMENT_COLUMNS = 2048
# Tokens that all other metrics see.
SAMPLED_TOKENS = 2048

ScoreOf = Callable[[Order], float]


def score_on_tokens(
    acts_a: "FeatureActivations",
    acts_b: "FeatureActivations",
    feature_a: Int64[np.ndarray, " n_pairs"],
    feature_b: Int64[np.ndarray, " n_pairs"],
    metrics: Sequence[str | Metric],
    lengths: Int64[np.ndarray, " n_sequences"],
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> list[SimilarityResult]:
    """Score the activations of paired features with each metric, and test each score against permuted sequences.

    Memory does not grow with the number of tokens beyond the sparse activations themselves. Metrics that depend on
    inner products of centred columns alone (`Metric.from_moments`) see all tokens, by (n_pairs, n_pairs) products in
    float64, up to 1,024 pairs. All others, and those beyond, see 2,048 tokens drawn at random, and say so.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        feature_a: (n_pairs,) paired features of A.
        feature_b: (n_pairs,) their partners.
        metrics: names from `analogue.similarity.METRICS`, or metrics.
        lengths: (n_sequences,) tokens in each sequence.
        n: number of draws, at least 1; one sequence has none.
        seed: of the draws, of the sample of tokens and of the random choices of metrics given by name.
        progress: called with the number of draws done.

    Returns:
        A result for each metric; `n_pairs` counts the features, not the tokens.

    Raises:
        ValueError: an unknown metric, n below 1, or sides that differ in n_tokens.
    """
    if n < 1 or acts_a.n_tokens != acts_b.n_tokens:
        raise ValueError(f"expected a draw, and equally many tokens, got {n}, {acts_a.n_tokens} and {acts_b.n_tokens}")
    chosen, lengths = as_metrics(metrics, seed), np.asarray(lengths, dtype=np.int64)
    if not len(feature_a):
        reason = "no pairs are left whose activations could be compared"
        return [SimilarityResult(each.name, None, 0, 0, seed, reason=reason, on=ON_ACTIVATIONS) for each in chosen]
    x, y = (
        acts.to_scipy()[:, of].astype(np.float64).tocsc() for acts, of in ((acts_a, feature_a), (acts_b, feature_b))
    )
    n_draws = n if np.count_nonzero(lengths) > 1 else 0
    identity = np.arange(acts_a.n_tokens)
    sample = np.sort(np.random.default_rng(seed).choice(identity, min(SAMPLED_TOKENS, len(identity)), replace=False))
    by_moments = _by_moments(x, y) if 2 * len(feature_a) <= _MOMENT_COLUMNS else None
    scorers = [_scorer(each, x, y, sample, by_moments) for each in chosen]
    draws = np.empty((len(chosen), n_draws))
    with blas_threads_for(len(sample)):
        scores = [score(identity) for score in scorers]
        for i in range(n_draws):
            order = permuted_tokens(lengths, np.random.default_rng([seed, i]), all_move=False)
            draws[:, i] = [score(order) for score in scorers]
            if progress is not None:
                progress(i + 1)
    return [
        _result(each, score, drawn, len(feature_a), seed, _sees_all(each, by_moments), len(sample), len(identity))
        for each, score, drawn in zip(chosen, scores, draws, strict=True)
    ]


def _by_moments(x: "csc_array", y: "csc_array") -> Callable[[Metric, Order], float]:
    n, mean_x, mean_y = x.shape[0], np.asarray(x.mean(axis=0)).ravel(), np.asarray(y.mean(axis=0)).ravel()
    xx = (x.T @ x).toarray() - n * np.outer(mean_x, mean_x)
    yy = (y.T @ y).toarray() - n * np.outer(mean_y, mean_y)
    rows, transposed, correction = y.tocsr(), x.T.tocsr(), n * np.outer(mean_x, mean_y)
    last: tuple[Order, tuple[Float64[np.ndarray, "m d_a"], Float64[np.ndarray, "m d_b"]]] | None = None

    def score(metric: Metric, order: Order) -> float:
        nonlocal last
        if last is None or last[0] is not order:  # one decomposition for all metrics
            last = order, rows_of_moments(xx, yy, (transposed @ rows[order]).toarray() - correction)
        return metric(*last[1])

    return score


def _scorer(metric: Metric, x: "csc_array", y: "csc_array", sample: np.ndarray, by_moments: Callable | None) -> ScoreOf:
    if by_moments is not None and metric.from_moments:
        return lambda order: by_moments(metric, order)
    some, rows = x.tocsr()[sample].toarray(), y.tocsr()
    return lambda order: metric(some, rows[order[sample]].toarray())


def _sees_all(metric: Metric, by_moments: Callable | None) -> bool:
    return by_moments is not None and metric.from_moments


def _result(
    metric: Metric,
    score: float,
    draws: Float64[np.ndarray, " n"],
    n_pairs: int,
    seed: int,
    sees_all: bool,
    n_sampled: int,
    n_tokens: int,
) -> SimilarityResult:
    null = "permuted_sequences"
    if np.isnan(score):
        reason = "the activations of a side do not vary on these tokens, or have no distance"
        return SimilarityResult(metric.name, None, n_pairs, 0, seed, null, reason=reason, on=ON_ACTIVATIONS)
    warnings = [] if sees_all or n_sampled == n_tokens else [f"on {n_sampled} of {n_tokens} tokens, drawn at random"]
    result = replace(against_null(metric.name, score, draws, n_pairs, seed, null, warnings), on=ON_ACTIVATIONS)
    return result if len(draws) else replace(result, p_value=None, p_value_published=None)
