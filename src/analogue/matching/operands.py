"""One side of a correlation, prepared: only features that can correlate, relabelled, with their moments."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64
from scipy.sparse import csr_array

from analogue.features import FeatureActivations

# Equal correlations are common (of all features that fire once, on one token, with any other) and must tie, whatever
# the scale of the activations and the order of a sum: every engine rounds correlations to these.
DECIMALS = 12
# What rounding moves a correlation by, at most.
ROUNDING = 10.0**-DECIMALS


class Moments(NamedTuple):
    """What Pearson's r takes from each feature; 0 where the variance is zero."""

    norm: Float64[np.ndarray, " d_sae"]
    """Root of the summed squared deviations from the mean."""
    mean_over_sd: Float64[np.ndarray, " d_sae"]
    """Mean over (population) standard deviation."""


class Operand(NamedTuple):
    """Activations of the features with variance, each divided by its norm: compressed sparse rows (n_tokens, n_live).

    The correlation of two features is then the sum of their products over tokens, less the product of their means over
    sd. Columns are *labels* 0, 1, ...: the features in order of falling firing count, so that the accumulators used
    most lie together in the cache.
    """

    indptr: Int64[np.ndarray, " n_tokens+1"]
    labels: Int32[np.ndarray, " nnz"]
    values: Float64[np.ndarray, " nnz"]
    features: Int64[np.ndarray, " n_live"]
    """The SAE's index of each label."""
    mean_over_sd: Float64[np.ndarray, " n_live"]

    @property
    def n_live(self) -> int:
        """Number of features that have a correlation."""
        return len(self.features)


class Columns(NamedTuple):
    """An operand's transpose: the tokens and values of each label, tokens ascending."""

    indptr: Int64[np.ndarray, " n_live+1"]
    tokens: Int32[np.ndarray, " nnz"]
    values: Float64[np.ndarray, " nnz"]


def prepare(acts: FeatureActivations, subset: Int64[np.ndarray, " n"] | None = None) -> Operand:
    """Keep the features of `subset` (all if None) that have variance, relabel them, and take their moments."""
    indptr, indices, values = np.array(acts.indptr), np.asarray(acts.indices), np.asarray(acts.values)
    if subset is not None:
        member = np.zeros(acts.d_sae, dtype=bool)
        member[subset] = True
        indptr, indices, values = _select(member[indices], indptr, indices, values)
    n_active = np.bincount(indices, minlength=acts.d_sae)
    values = centre_always_active(indices, values, n_active, acts.n_tokens)
    moments = feature_moments(indices, values, acts.n_tokens, acts.d_sae)
    features = np.flatnonzero(moments.norm > 0)
    features = features[np.argsort(-n_active[features], kind="stable")]

    label_of = np.full(acts.d_sae, -1, dtype=np.int32)
    label_of[features] = np.arange(len(features), dtype=np.int32)
    labels = label_of[indices]
    if n_active[features].sum() < len(labels):  # constant features are active, and go
        indptr, labels, values = _select(labels >= 0, indptr, labels, values)
    values /= moments.norm[features][labels]
    return Operand(indptr, labels, values, features, moments.mean_over_sd[features])


def columns_of(operand: Operand) -> Columns:
    """Transpose an operand."""
    shape = (len(operand.indptr) - 1, operand.n_live)
    columns = csr_array((operand.values, operand.labels, operand.indptr), shape=shape, copy=False).tocsc()
    tokens = columns.indices.astype(np.int32, copy=False)
    return Columns(columns.indptr.astype(np.int64, copy=False), tokens, columns.data)


def centre_always_active(
    indices: Int32[np.ndarray, " nnz"], values: np.ndarray, n_active: Int64[np.ndarray, " d_sae"], n_tokens: int
) -> Float64[np.ndarray, " nnz"]:
    """Values in float64, less their mean where a feature is active on every token.

    Only there can the mean exceed the standard deviation by more than sqrt(n_tokens) and cancel the digits of a
    covariance; one silent token bounds it. Such a feature has no zeros to keep, so centring it costs no sparsity, and
    a constant one becomes exactly zero: n_tokens equal float32 numbers sum without rounding in float64.
    """
    values = values.astype(np.float64)
    always = (n_active == n_tokens) & (n_active > 0)
    if always.any():
        entries = np.flatnonzero(always[indices])
        means = np.bincount(indices[entries], weights=values[entries], minlength=len(n_active)) / n_tokens
        values[entries] -= means[indices[entries]]
    return values


def feature_moments(
    indices: Int32[np.ndarray, " nnz"], values: Float64[np.ndarray, " nnz"], n_tokens: int, d_sae: int
) -> Moments:
    """Moments over all n_tokens tokens, silent ones included, of every feature.

    With s and q the sums of a feature's values and squares, s^2 / q is the number of tokens it would fire on if it
    fired equally on each. Both moments are written in that share of the tokens because it does not depend on scale, to
    the last bit where a feature fires once: all such features have one mean over sd, and tie.
    """
    total = np.bincount(indices, weights=values, minlength=d_sae)
    squares = np.bincount(indices, weights=values * values, minlength=d_sae)
    live = (squares > 0) & (n_tokens > 1)
    norm, mean_over_sd = np.zeros(d_sae), np.zeros(d_sae)
    share = total[live] ** 2 / squares[live] / n_tokens
    norm[live] = np.sqrt(squares[live] * (1 - share))
    mean_over_sd[live] = np.sign(total[live]) * np.sqrt(share / (1 - share))
    return Moments(norm, mean_over_sd)


def _select(
    keep: np.ndarray, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with only the entries under `keep`."""
    entries = np.flatnonzero(keep)
    return np.searchsorted(entries, indptr), indices[entries], values[entries]
