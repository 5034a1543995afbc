"""Pairing rules that look at best partners alone."""

import numpy as np

from analogue.features import FeatureActivations
from analogue.matching.candidates import as_pairs, check_direction
from analogue.matching.pairs import FeaturePairs
from analogue.matching.partners import Direction, FindPartners, best_partners


def max_correlation(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: Direction = "a_to_b",
    find: FindPartners = best_partners,
) -> FeaturePairs:
    """Pair every feature of the claiming side with its most correlated partner (paper, section 3).

    Several features may claim one partner: "a_to_b" is what Appendix A calls ManyA-to-1B, and the published code's
    whole-space pairing is "b_to_a".

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: "a_to_b" if A claims, "b_to_a" if B does.
        find: what finds best partners; `best_partners` or a stand-in for it, such as one that shares the work out.

    Returns:
        One pair for every feature of the claiming side that has a partner, in its order. Features that never fire, or
        are constant, are in none.

    Raises:
        ValueError: if the sides differ in n_tokens, or the direction is neither of the two.
    """
    check_direction(direction)
    partners = find(acts_a, acts_b, k=1, direction=direction)
    claiming = np.flatnonzero(partners.indices[:, 0] >= 0)
    claimed = partners.indices[claiming, 0]
    feature_a, feature_b = (claiming, claimed) if direction == "a_to_b" else (claimed, claiming)
    correlation = partners.correlations[claiming, 0]
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def mutual(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: Direction = "a_to_b",
    find: FindPartners = best_partners,
) -> FeaturePairs:
    """Pair two features if each is the other's most correlated partner.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: whose order the pairs are in; which pairs there are does not depend on it.
        find: what finds best partners; `best_partners` or a stand-in for it, such as one that shares the work out.

    Returns:
        The pairs, one-to-one. Of partners of equal correlation the lowest feature is the best.

    Raises:
        ValueError: if the sides differ in n_tokens, or the direction is neither of the two.
    """
    check_direction(direction)
    a_to_b, b_to_a = find(acts_a, acts_b, k=1, direction="both")
    best_of_a, best_of_b = a_to_b.indices[:, 0], b_to_a.indices[:, 0]
    alive = np.flatnonzero(best_of_a >= 0)
    feature_a = alive[best_of_b[best_of_a[alive]] == alive]
    feature_b, correlation = best_of_a[feature_a], a_to_b.correlations[feature_a, 0]
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)
