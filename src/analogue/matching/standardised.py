"""Pearson's r of two features over all tokens, and standardised activations, from which every form of it starts.

With x_i the activations of feature i on n tokens, silent ones included as zeros, of mean m_i and standard deviation
s_i, and with |x_i - m_i| = s_i sqrt(n) for the norm about the mean:

    r_ij = sum over t of x_ti / |x_i - m_i| * y_tj / |y_j - m_j|  -  m_i / s_i * m_j / s_j

The sum has terms only on tokens on which both features fire, so sparse activations stay sparse. `subsets` takes the
formula as it stands, for few features; `walk` finds the highest r of many without a matrix of all; `dense` multiplies
matrices where most activations are not zero.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64
from scipy.sparse import csc_array, csr_array

from analogue.features import FeatureActivations

# Equal correlations are common (a feature that fires once correlates equally with all that fire once on that token) and
# must tie, whatever the scale of the activations and the order of a sum: correlations are rounded to these.
DECIMALS = 12
# The most that rounding changes a correlation by.
ROUNDING = 10.0**-DECIMALS
# Entries that a sum over all of them takes at a time: its float64 copies then take 2 GB at most.
_RUN = 2**27


class Operand(NamedTuple):
    """Standardised activations of the features with variance: compressed sparse rows (n_tokens, n_live).

    Columns are *labels* 0, 1, ...: the features in order of falling firing count, so that the accumulators used most
    lie together in the cache.
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

    @classmethod
    def of(cls, operand: Operand) -> "Columns":
        """Transpose an operand."""
        shape = (len(operand.indptr) - 1, operand.n_live)
        columns = csr_array((operand.values, operand.labels, operand.indptr), shape=shape, copy=False).tocsc()
        tokens = columns.indices.astype(np.int32, copy=False)
        return cls(columns.indptr.astype(np.int64, copy=False), tokens, columns.data)


@dataclass(frozen=True, eq=False)
class Standardised:
    """Activations of one side, and the moments that standardise them. No copy of the activations is made.

    Attributes:
        acts: (n_tokens, d) activations as they are.
        features: (d,) the SAE's index of each column.
        d_sae: width of the SAE.
        n_active: (d,) firing count.
        centre: (d,) subtracted before anything else: the mean of a feature that is active on every token, else 0. Only
            there can the mean exceed the standard deviation by more than sqrt(n_tokens) and cancel the digits of a
            covariance. Such a feature has no zeros to keep, so it loses no sparsity, and a constant one becomes exactly
            zero: n_tokens equal float32 numbers sum without rounding in float64.
        norm: (d,) root of the summed squared deviations from the mean; 0 where there is no variance.
        mean_over_sd: (d,) mean over (population) standard deviation; NaN where there is no variance.
    """

    acts: csr_array
    features: Int64[np.ndarray, " d"]
    d_sae: int
    n_active: Int64[np.ndarray, " d"]
    centre: Float64[np.ndarray, " d"]
    norm: Float64[np.ndarray, " d"]
    mean_over_sd: Float64[np.ndarray, " d"]

    @classmethod
    def of(cls, acts: FeatureActivations, subset: Int64[np.ndarray, " n"] | None = None) -> "Standardised":
        """Of all features, or those of a subset, each once.

        With s and q the sums of a feature's values and squares, s^2 / q is the number of tokens it would fire on if it
        fired equally on each. Both moments are written in that share of the tokens because it does not depend on scale,
        to the last bit where a feature fires once: all such features have one mean over sd, and tie.
        """
        # With indptr of the same dtype SciPy shares the arrays instead of copying the indices.
        indptr = acts.indptr.astype(np.int32 if acts.nnz <= np.iinfo(np.int32).max else np.int64)
        matrix = csr_array((acts.values, acts.indices, indptr), shape=acts.shape, copy=False)
        features = np.arange(acts.d_sae)
        if subset is not None:
            features = np.unique(subset)
            matrix = matrix[:, features]
        n_tokens, d = matrix.shape
        runs = [slice(start, start + _RUN) for start in range(0, matrix.nnz, _RUN)]
        n_active, centre, total, squares = (np.zeros(d, dtype) for dtype in (np.int64, float, float, float))
        for run in runs:
            n_active += np.bincount(matrix.indices[run], minlength=d)
        always = (n_active == n_tokens) & (n_active > 0)
        if always.any():
            for run in runs:
                centre += np.bincount(matrix.indices[run], weights=matrix.data[run], minlength=d)
            centre = np.where(always, centre / n_tokens, 0.0)
        for run in runs:
            indices, values = matrix.indices[run], _centred(matrix.indices[run], matrix.data[run], centre)
            total += np.bincount(indices, weights=values, minlength=d)
            values *= values
            squares += np.bincount(indices, weights=values, minlength=d)
        varies = (squares > 0) & (n_tokens > 1)
        share = total[varies] ** 2 / squares[varies] / n_tokens
        norm, mean_over_sd = np.zeros(d), np.full(d, np.nan)
        norm[varies] = np.sqrt(squares[varies] * (1 - share))
        mean_over_sd[varies] = np.sign(total[varies]) * np.sqrt(share / (1 - share))
        mean_over_sd[~(norm > 0)] = np.nan
        return cls(matrix, features, acts.d_sae, n_active, centre, norm, mean_over_sd)

    def take(self, columns: Int64[np.ndarray, " n"]) -> "Standardised":
        """Of these columns, in this order."""
        moments = (each[columns] for each in (self.n_active, self.centre, self.norm, self.mean_over_sd))
        return Standardised(self.acts[:, columns], self.features[columns], self.d_sae, *moments)

    @property
    def live(self) -> Int64[np.ndarray, " n_live"]:
        """Features that have variance, and so a correlation, ascending."""
        return self.features[self.norm > 0]

    @cached_property
    def columns(self) -> csc_array:
        """(n_tokens, d) values over the norm: the first factor of r, and `mean_over_sd` the second."""
        values = self._values(self.acts.indices, self.acts.data)
        return csr_array((values, self.acts.indices, self.acts.indptr), shape=self.acts.shape).tocsc()

    @cached_property
    def labels(self) -> Int64[np.ndarray, " n_live"]:
        """The column of each label: those with variance, by falling firing count."""
        live = np.flatnonzero(self.norm > 0)
        return live[np.argsort(-self.n_active[live], kind="stable")]

    @cached_property
    def label_of(self) -> Int32[np.ndarray, " d"]:
        """The label of each column; -1 where there is no variance."""
        label_of = np.full(len(self.features), -1, dtype=np.int32)
        label_of[self.labels] = np.arange(len(self.labels), dtype=np.int32)
        return label_of

    def operand(self) -> Operand:
        """The features that have variance, in the form that the walk takes."""
        indptr, labels = self.acts.indptr.astype(np.int64), self.label_of[self.acts.indices]
        values = self._values(self.acts.indices, self.acts.data)
        if self.n_active[self.labels].sum() < len(labels):  # constant features are active, and go
            entries = np.flatnonzero(labels >= 0)
            indptr, labels, values = np.searchsorted(entries, indptr), labels[entries], values[entries]
        return Operand(indptr, labels, values, self.features[self.labels], self.mean_over_sd[self.labels])

    def _values(self, indices: Int32[np.ndarray, " n"], values: np.ndarray) -> Float64[np.ndarray, " n"]:
        """Values of these columns over their norm."""
        values = _centred(indices, values, self.centre)
        values /= np.where(self.norm > 0, self.norm, 1.0)[indices]
        return values


def as_correlations(values: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Correlations in [-1, 1]; what differs by rounding alone becomes equal."""
    return np.clip(np.round(values, DECIMALS), -1.0, 1.0)


def paired_correlations(
    a: Standardised, b: Standardised, feature_a: Int64[np.ndarray, " n_pairs"], feature_b: Int64[np.ndarray, " n_pairs"]
) -> Float64[np.ndarray, " n_pairs"]:
    """The correlation of each feature of A with the feature of B at its place; NaN where one has no variance."""
    sums = a.columns[:, feature_a].multiply(b.columns[:, feature_b]).sum(axis=0)
    return as_correlations(sums - a.mean_over_sd[feature_a] * b.mean_over_sd[feature_b])


def _centred(indices: np.ndarray, values: np.ndarray, centre: np.ndarray) -> Float64[np.ndarray, " n"]:
    values = values.astype(np.float64)
    if centre.any():
        entries = np.flatnonzero((centre != 0)[indices])
        values[entries] -= centre[indices[entries]]
    return values
