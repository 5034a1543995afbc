"""The candidate graph: which pairs of features a rule that weighs both sides may choose from."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from analogue.features import FeatureActivations
from analogue.matching.pairs import BestPartners
from analogue.matching.partners import FindPartners, Subset

# Of 32,768 features per side, 32 partners make a graph of 1.2 million edges.
K_CANDIDATES = 32


class Candidates(NamedTuple):
    """Edges between features of A and of B, each once, in order of feature_a, then feature_b."""

    feature_a: Int64[np.ndarray, " n_edges"]
    feature_b: Int64[np.ndarray, " n_edges"]
    correlation: Float64[np.ndarray, " n_edges"]
    """Pearson correlation, positive."""
    on_both_lists: Bool[np.ndarray, " n_edges"]
    """Whether each of the two is one of the other's best k."""

    def take(self, edges: np.ndarray) -> "Candidates":
        """Only these edges (indices or mask)."""
        return Candidates(*(column[edges] for column in self))


def candidates(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int,
    find: FindPartners,
    subset_a: Subset | None = None,
    subset_b: Subset | None = None,
) -> Candidates:
    """The best k partners of every feature of both sides, as far as they correlate positively.

    With k of at least the wider side's d_sae, these are all positive correlations. Arguments and errors are those of
    `best_partners`, which `find` stands for (see `max_correlation`); a subset holds no feature twice.
    """
    a_to_b, b_to_a = find(acts_a, acts_b, k, direction="both", subset_a=subset_a, subset_b=subset_b)
    claiming_a, claimed_b, correlation_a = _listed(a_to_b, subset_a)
    claiming_b, claimed_a, correlation_b = _listed(b_to_a, subset_b)
    feature_a, feature_b = np.concatenate([claiming_a, claimed_a]), np.concatenate([claimed_b, claiming_b])
    correlation = np.concatenate([correlation_a, correlation_b])
    _, once, n_lists = np.unique(feature_a * acts_b.d_sae + feature_b, return_index=True, return_counts=True)
    return Candidates(feature_a[once], feature_b[once], correlation[once], n_lists == 2)


def _listed(partners: BestPartners, subset: Subset | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature, partner and correlation of every place that holds a positive correlation."""
    row, place = np.nonzero(partners.correlations > 0)  # NaN, for no partner, is not
    feature = row if subset is None else np.asarray(subset)[row]
    return feature, partners.indices[row, place], partners.correlations[row, place]
