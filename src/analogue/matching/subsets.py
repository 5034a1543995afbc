"""Correlations within small sets of features, again and again: what does not depend on the sets is done once."""

import numpy as np
from jaxtyping import Float64, Int64

from analogue.features import FeatureActivations
from analogue.matching.candidates import as_pairs, check_direction
from analogue.matching.operands import DECIMALS
from analogue.matching.pairs import FeaturePairs
from analogue.matching.partners import Direction
from analogue.matching.standardised import Standardised

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
            self._whole = _correlate(self._a, self._b)

    def matrix(self, subset_a: Features, subset_b: Features) -> Float64[np.ndarray, "n_a n_b"]:
        """Correlations in [-1, 1] of these features of A (rows) and of B (columns); NaN where one has no variance."""
        if self._whole is not None:
            return self._whole[np.ix_(subset_a, subset_b)]
        return _correlate(self._a.take(subset_a), self._b.take(subset_b))

    def paired(
        self, feature_a: Int64[np.ndarray, " n_pairs"], feature_b: Int64[np.ndarray, " n_pairs"]
    ) -> Float64[np.ndarray, " n_pairs"]:
        """The correlation of each feature of A with the feature of B at its place; NaN where one has no variance."""
        a, b = self._a.take(feature_a), self._b.take(feature_b)
        return _snap(a.columns.multiply(b.columns).sum(axis=0) - a.mean_over_sd * b.mean_over_sd)

    def max_correlation(self, subset_a: Features, subset_b: Features, direction: Direction = "a_to_b") -> FeaturePairs:
        """The pairs of the rule `max_correlation` among these features alone, given in ascending order."""
        check_direction(direction)
        correlations = np.nan_to_num(self.matrix(subset_a, subset_b), nan=-np.inf)
        if direction == "b_to_a":
            correlations = correlations.T
        best = correlations.max(axis=1, initial=-np.inf)
        claiming = np.flatnonzero(best > -np.inf)
        claimed = correlations[claiming].argmax(axis=1) if len(claiming) else claiming
        in_a, in_b = (claiming, claimed) if direction == "a_to_b" else (claimed, claiming)
        features = np.asarray(subset_a)[in_a], np.asarray(subset_b)[in_b]
        return as_pairs(*features, best[claiming], self._a.n_active, self._b.n_active, direction)


def _correlate(a: Standardised, b: Standardised) -> Float64[np.ndarray, "n_a n_b"]:
    return _snap((a.columns.T @ b.columns).toarray() - np.outer(a.mean_over_sd, b.mean_over_sd))


def _snap(correlations: np.ndarray) -> np.ndarray:
    """As in `best_partners`: what differs by rounding alone is equal."""
    return np.clip(np.round(correlations, DECIMALS), -1.0, 1.0)
