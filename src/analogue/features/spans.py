"""Activations on tokens to activations on spans of text."""

import numpy as np
from jaxtyping import Int64
from scipy.sparse import csr_array

from analogue.errors import check_option
from analogue.features.activations import FeatureActivations
from analogue.options import Aggregation


def aggregate_spans(
    acts: FeatureActivations, span: Int64[np.ndarray, " n_tokens"], n_spans: int, how: str = Aggregation.max
) -> FeatureActivations:
    """Carry activations from tokens to the spans that they lie in; each row of the result is a span.

    Args:
        acts: (n_tokens, d_sae) non-negative activations.
        span: (n_tokens,) the span of each token, non-decreasing; negative for a token in none, which drops out.
        n_spans: number of spans; one without a token has no active feature.
        how: the highest activation in the span, the mean over its tokens, or that of its last token.

    Returns:
        (n_spans, d_sae) activations; those given, if each token is a span of its own.

    Raises:
        ValueError: if `span` does not have one entry per token, or `how` is none of the three.

    Example:
        >>> two_tokens = FeatureActivations.from_dense(np.array([[1.0, 0.0], [3.0, 2.0]]))
        >>> aggregate_spans(two_tokens, np.array([0, 0]), 1, "mean").to_scipy().toarray().tolist()
        [[2.0, 1.0]]
    """
    check_option("how", how, Aggregation)
    if len(span) != acts.n_tokens:
        raise ValueError(f"expected a span for each of {acts.n_tokens} tokens, got {len(span)}")
    if how == "max":
        return _highest(acts, span, n_spans)
    tokens = np.flatnonzero(span >= 0) if how == "mean" else _last_tokens(span)
    size = np.bincount(span[tokens], minlength=n_spans)
    weights = (1.0 / size[span[tokens]], (span[tokens], tokens))
    return FeatureActivations.from_scipy(csr_array(weights, shape=(n_spans, acts.n_tokens)) @ acts.to_scipy())


def _last_tokens(span: np.ndarray) -> np.ndarray:
    """The last token of each span that has one."""
    inside = np.flatnonzero(span >= 0)
    return inside[np.append(np.diff(span[inside]) != 0, True)] if len(inside) else inside


def _highest(acts: FeatureActivations, span: np.ndarray, n_spans: int) -> FeatureActivations:
    row = np.repeat(span, np.diff(acts.indptr))
    inside = np.flatnonzero(row >= 0)
    order = inside[np.lexsort((acts.indices[inside], row[inside]))]
    row, feature, value = row[order], acts.indices[order], acts.values[order]
    first = np.flatnonzero(np.append(True, (np.diff(row) != 0) | (np.diff(feature) != 0))) if len(row) else order
    highest = np.maximum.reduceat(value, first) if len(row) else value
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[first], minlength=n_spans))]).astype(np.int64)
    return FeatureActivations(indptr, feature[first], highest, acts.d_sae)
