"""Activations of one side in the form that correlations by plain sparse products need."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csc_array, csr_array

from analogue.features import FeatureActivations
from analogue.matching.operands import centre_always_active, feature_moments


class Standardised(NamedTuple):
    """Sparse columns of norm 1 about their mean: r is the sum of two columns' products, less that of their means.

    (`Operand` is the same for the compiled walk, which relabels features.)
    """

    columns: csc_array
    """(n_tokens, d_sae) the entries of each feature divided by its norm (see `Moments`)."""
    mean_over_sd: Float64[np.ndarray, " d_sae"]
    """NaN where there is no variance."""
    n_active: Int64[np.ndarray, " d_sae"]
    """Firing count."""

    @classmethod
    def of(cls, acts: FeatureActivations) -> "Standardised":
        """Of all features."""
        n_active = acts.n_active()
        values = centre_always_active(acts.indices, acts.values, n_active, acts.n_tokens)
        norm, mean_over_sd = feature_moments(acts.indices, values, acts.n_tokens, acts.d_sae)
        constant = norm == 0
        values /= np.where(constant, 1.0, norm)[acts.indices]
        columns = csr_array((values, acts.indices, acts.indptr), shape=acts.shape).tocsc()
        return cls(columns, np.where(constant, np.nan, mean_over_sd), n_active)

    def take(self, features: Int64[np.ndarray, " n"]) -> "Standardised":
        """Of these features, in their order."""
        return Standardised(self.columns[:, features], self.mean_over_sd[features], self.n_active[features])

    @property
    def live(self) -> Int64[np.ndarray, " n_live"]:
        """Features that have variance, and so a correlation."""
        return np.flatnonzero(~np.isnan(self.mean_over_sd))
