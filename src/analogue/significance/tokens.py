"""Scores with tokens as rows: of the activations of paired features, and of residual streams."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from analogue.significance.draws import Progress, as_metrics, blas_threads_for
from analogue.significance.permuted import Order, permuted_tokens
from analogue.significance.result import SimilarityResult, against_null
from analogue.similarity import Metric, Scorer

if TYPE_CHECKING:
    from analogue.features import FeatureActivations

ON_ACTIVATIONS, ON_RESIDUAL = "activations", "residual"
# The most paired features of which the inner products are taken: beyond, decompositions take seconds per draw.
MOMENT_PAIRS = 1024
# Tokens that all other metrics see.
SAMPLED_TOKENS = 2048
# A sample of tokens has so many positions of each sequence, unless there are too few sequences for it.
_POSITIONS = 16

MatrixOfOrder = Callable[[Order], Float64[np.ndarray, "d_a d_b"]]


class Sample(NamedTuple):
    """A sample of the tokens, chosen so that permuting sequences only changes the order of its rows.

    Attributes:
        rows: (n_sampled,) of all tokens, ascending.
        lengths: tokens of the sample in each of its sequences.
    """

    rows: Int64[np.ndarray, " n_sampled"]
    lengths: Int64[np.ndarray, " n_sequences"]


def sample_tokens(lengths: Int64[np.ndarray, " n_sequences"], n_wanted: int, seed: int) -> Sample:
    """At most `n_wanted` tokens: the same positions of sequences drawn at random; all tokens, if there are no more.

    A sequence that is permuted keeps its positions. So a sample of the same positions of every sequence holds the same
    tokens in every draw, and distances, ranks and decompositions of both sides stay what they are.

    Args:
        lengths: (n_sequences,) tokens in each sequence, in the order of the tokens.
        n_wanted: at least 16.
        seed: of the choice.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.sum() <= n_wanted:
        return Sample(np.arange(lengths.sum()), lengths)
    generator, starts = np.random.default_rng(seed), np.cumsum(lengths) - lengths
    live = np.flatnonzero(lengths)
    n_sequences = min(len(live), n_wanted // _POSITIONS)
    sequences = np.sort(generator.choice(live, n_sequences, replace=False))
    positions = generator.permutation(int(lengths[sequences].max()))
    n_at = np.array([np.count_nonzero(lengths[sequences] > position) for position in positions])
    positions = np.sort(positions[np.cumsum(n_at) <= n_wanted])
    rows = [starts[each] + positions[positions < lengths[each]] for each in sequences]
    return Sample(np.concatenate(rows), np.array([len(each) for each in rows]))


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

    Memory grows with the number of tokens, some four times as fast as that of the sparse activations. Metrics that
    depend on inner products of centred columns alone (`Metric.from_moments`) see all tokens, by (n_pairs, n_pairs)
    products in float64, up to 1,024 pairs. All other metrics, and these with more pairs, see 2,048 tokens
    (`sample_tokens`), and a warning says so.

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
    chosen = as_metrics(metrics, seed)
    if not len(feature_a):
        reason = "no pairs are left whose activations could be compared"
        return [SimilarityResult(each.name, None, 0, 0, seed, reason=reason, on=ON_ACTIVATIONS) for each in chosen]
    x, y = (
        acts.to_scipy()[:, of].astype(np.float64).tocsr() for acts, of in ((acts_a, feature_a), (acts_b, feature_b))
    )
    rows = _Rows(x, y, np.asarray(lengths, dtype=np.int64), len(feature_a) <= MOMENT_PAIRS)
    return _scored(rows, chosen, n, seed, ON_ACTIVATIONS, len(feature_a), acts_a.n_tokens, progress)


def score_streams(
    x: Float[np.ndarray, "n_tokens d_a"],
    y: Float[np.ndarray, "n_tokens d_b"],
    metrics: Sequence[str | Metric],
    lengths: Int64[np.ndarray, " n_sequences"],
    n: int,
    seed: int,
    n_of: int | None = None,
    progress: Progress | None = None,
) -> list[SimilarityResult]:
    """Score two residual streams, tokens as rows, and test each score against permuted sequences.

    This is the baseline that SAEs have to beat: no feature and no pair is involved. Metrics see tokens as in
    `score_on_tokens`, whatever the width.

    Args:
        x: (n_tokens, d_a) what A's SAE reads.
        y: (n_tokens, d_b) what B's reads, on the same tokens.
        metrics: names from `analogue.similarity.METRICS`, or metrics.
        lengths: (n_sequences,) tokens in each sequence.
        n: number of draws, at least 1; one sequence has none.
        seed: of the draws, of the sample of tokens and of the random choices of metrics given by name.
        n_of: number of all tokens, of which the given ones are a sample; None if all are given.
        progress: called with the number of draws done.

    Returns:
        A result for each metric; `n_pairs` counts the tokens.

    Raises:
        ValueError: an unknown metric, n below 1, or sides that differ in n_tokens.
    """
    if n < 1 or len(x) != len(y):
        raise ValueError(f"expected a draw, and equally many tokens, got {n}, {len(x)} and {len(y)}")
    x, y = (side - side.mean(axis=0) for side in (x.astype(np.float64), y.astype(np.float64)))
    rows = _Rows(x, y, np.asarray(lengths, dtype=np.int64), use_moments=True)
    return _scored(rows, as_metrics(metrics, seed), n, seed, ON_RESIDUAL, len(x), n_of or len(x), progress)


class _Rows(NamedTuple):
    """Tokens of both sides: sparse arrays, or centred dense ones."""

    x: Any
    y: Any
    lengths: Int64[np.ndarray, " n_sequences"]
    use_moments: bool


def _scored(
    rows: _Rows,
    metrics: Sequence[Metric],
    n: int,
    seed: int,
    on: str,
    n_pairs: int,
    n_of: int,
    progress: Progress | None,
) -> list[SimilarityResult]:
    sees_all = [rows.use_moments and each.from_moments is not None for each in metrics]
    sample = sample_tokens(rows.lengths, SAMPLED_TOKENS, seed)
    n_tokens, n_sampled = rows.x.shape[0], len(sample.rows)
    n_draws = n if np.count_nonzero(sample.lengths) > 1 else 0
    draws = np.empty((len(metrics), n_draws))
    with blas_threads_for(n_sampled):
        on_all = _on_all_tokens(rows, [each for each, seen in zip(metrics, sees_all, strict=True) if seen])
        on_some = _on_sample(rows, [each for each, seen in zip(metrics, sees_all, strict=True) if not seen], sample)

        def score_all(order: Order, of_sample: Order) -> list[float]:
            found = iter(on_all(order)), iter([scorer(of_sample) for scorer in on_some])
            return [next(found[0] if seen else found[1]) for seen in sees_all]

        scores = score_all(np.arange(n_tokens), np.arange(n_sampled))
        for i in range(n_draws):
            of_all, of_sample = (
                permuted_tokens(lengths, np.random.default_rng([seed, i])) if is_used else np.arange(0)
                for lengths, is_used in ((rows.lengths, any(sees_all)), (sample.lengths, not all(sees_all)))
            )
            draws[:, i] = score_all(of_all, of_sample)
            if progress is not None:
                progress(i + 1)
    return [
        _result(each, score, drawn, n_pairs, seed, on, n_tokens if seen else n_sampled, n_of)
        for each, score, drawn, seen in zip(metrics, scores, draws, sees_all, strict=True)
    ]


def _on_all_tokens(rows: _Rows, metrics: Sequence[Metric]) -> Callable[[Order], list[float]]:
    """Scores of metrics as functions of the order of y's tokens, by inner products of columns."""
    if not metrics:
        return lambda order: []
    (xx, mean_x), (yy, mean_y) = _moments(rows.x), _moments(rows.y)
    scorers = [each.from_moments(xx, yy) for each in metrics if each.from_moments is not None]
    n, y, transposed = rows.x.shape[0], rows.y, rows.x.T.tocsr() if hasattr(rows.x, "tocsr") else rows.x.T
    correction = n * np.outer(mean_x, mean_y)

    def score(order: Order) -> list[float]:
        xy = transposed @ y[order]
        xy = (xy.toarray() if hasattr(xy, "toarray") else xy) - correction
        return [scorer(xy) for scorer in scorers]

    return score


def _moments(side: Any) -> tuple[Float64[np.ndarray, "d d"], Float64[np.ndarray, " d"]]:
    """Inner products of centred columns, and the columns' means."""
    mean = np.asarray(side.mean(axis=0)).ravel()
    products = side.T @ side
    products = products.toarray() if hasattr(products, "toarray") else products
    return products - side.shape[0] * np.outer(mean, mean), mean


def _on_sample(rows: _Rows, metrics: Sequence[Metric], sample: Sample) -> list[Scorer]:
    """Scores of metrics as functions of the order of the sample's tokens of y, see `Metric.prepare`."""
    if not metrics:
        return []
    x, y = (each[sample.rows] for each in (rows.x, rows.y))
    x, y = (each.toarray() if hasattr(each, "toarray") else each for each in (x, y))
    return [each.prepare(x, y) if len(x) >= each.minimum_pairs else lambda order: np.nan for each in metrics]


def _result(
    metric: Metric,
    score: float,
    draws: Float64[np.ndarray, " n"],
    n_pairs: int,
    seed: int,
    on: str,
    n_seen: int,
    n_of: int,
) -> SimilarityResult:
    null = "permuted_sequences"
    if np.isnan(score):
        what = "the activations of a side" if on == ON_ACTIVATIONS else "the residual streams of a side"
        reason = f"{what} do not vary on these tokens, or have no distance"
        return SimilarityResult(metric.name, None, n_pairs, 0, seed, null, reason=reason, on=on)
    warnings = [] if n_seen == n_of else [f"on {n_seen} of {n_of} tokens, drawn at random"]
    n_scored = n_seen if on == ON_RESIDUAL else n_pairs
    result = replace(against_null(metric.name, score, draws, n_scored, seed, null, warnings), on=on)
    return result if len(draws) else replace(result, p_value=None, p_value_published=None)
