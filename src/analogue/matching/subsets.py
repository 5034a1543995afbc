"""Correlations within small sets of features, again and again: what does not depend on the sets is done once."""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from analogue.errors import check_option
from analogue.features import FeatureActivations
from analogue.matching.pairs import FeaturePairs, as_pairs
from analogue.matching.standardised import Standardised, as_correlations, paired_correlations
from analogue.options import Direction

# Up to here (128 MB) the whole matrix is taken once, and a set is looked up in it.
_WHOLE_ENTRIES = 2**24

Features = Int64[np.ndarray, " n"]


class SubsetCorrelations:
    """Pearson correlations of chosen features of A with chosen features of B.

    `best_partners` takes some 10 ms for small sets, nearly all of it to prepare both sides. Here a set takes its own
    products, or a look-up where the whole correlation matrix is small.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.

    Attributes:
        live_a: features of A that have variance, and so a correlation.
        live_b: features of B that have variance.

    Raises:
        ValueError: if the sides differ in n_tokens.
    """

    def __init__(self, acts_a: FeatureActivations, acts_b: FeatureActivations) -> None:
        if acts_a.n_tokens != acts_b.n_tokens:
            raise ValueError(f"expected both sides on the same tokens, got {acts_a.n_tokens} and {acts_b.n_tokens}")
        self._a, self._b = Standardised.of(acts_a), Standardised.of(acts_b)
        self.live_a, self.live_b = self._a.live, self._b.live
        self._whole: Float64[np.ndarray, "d_sae_a d_sae_b"] | None = None
        if acts_a.d_sae * acts_b.d_sae <= _WHOLE_ENTRIES:
            self._whole = self._products(slice(None), slice(None))

    def matrix(self, subset_a: Features, subset_b: Features) -> Float64[np.ndarray, "n_a n_b"]:
        """Correlations in [-1, 1] of these features of A (rows) and of B (columns); NaN where one has no variance."""
        if self._whole is not None:
            return self._whole[np.ix_(subset_a, subset_b)]
        return self._products(subset_a, subset_b)

    def paired(
        self, feature_a: Int64[np.ndarray, " n_pairs"], feature_b: Int64[np.ndarray, " n_pairs"]
    ) -> Float64[np.ndarray, " n_pairs"]:
        """The correlation of each feature of A with the feature of B at its place; NaN where one has no variance."""
        return paired_correlations(self._a, self._b, feature_a, feature_b)

    def max_correlation(
        self, subset_a: Features, subset_b: Features, direction: str = Direction.a_to_b
    ) -> FeaturePairs:
        """The pairs of the rule `max_correlation` among these features alone, given in ascending order."""
        check_option("direction", direction, Direction)
        correlations = np.nan_to_num(self.matrix(subset_a, subset_b), nan=-np.inf)
        if direction == Direction.b_to_a:
            correlations = correlations.T
        best = correlations.max(axis=1, initial=-np.inf)
        claiming = np.flatnonzero(best > -np.inf)
        claimed = correlations[claiming].argmax(axis=1) if len(claiming) else claiming
        in_a, in_b = (claiming, claimed) if direction == Direction.a_to_b else (claimed, claiming)
        features = np.asarray(subset_a)[in_a], np.asarray(subset_b)[in_b]
        return as_pairs(*features, best[claiming], self._a.n_active, self._b.n_active, direction)

    def _products(self, subset_a: Any, subset_b: Any) -> Float64[np.ndarray, "n_a n_b"]:
        a, b = self._a, self._b
        sums = (a.columns[:, subset_a].T @ b.columns[:, subset_b]).toarray()
        return as_correlations(sums - np.outer(a.mean_over_sd[subset_a], b.mean_over_sd[subset_b]))
