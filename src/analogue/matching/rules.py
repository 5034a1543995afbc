"""Pairing rules: which feature of the other side each feature claims."""

import numpy as np

from analogue.features import FeatureActivations
from analogue.matching.pairs import FeaturePairs
from analogue.matching.partners import Direction, best_partners


def max_correlation(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: Direction = "a_to_b",
    n_threads: int | None = None,
) -> FeaturePairs:
    """Pair every feature of the claiming side with its most correlated partner (paper, section 3).

    Several features may claim one partner: "a_to_b" is what Appendix A calls ManyA-to-1B, and the published code's
    whole-space pairing is "b_to_a".

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: "a_to_b" if A claims, "b_to_a" if B does.
        n_threads: see `best_partners`.

    Returns:
        One pair for every feature of the claiming side that has a partner, in its order. Features that never fire, or
        are constant, are in none.

    Raises:
        ValueError: if the sides differ in n_tokens, or the direction is neither of the two.
    """
    if direction not in ("a_to_b", "b_to_a"):
        raise ValueError(f"expected direction 'a_to_b' or 'b_to_a', got {direction!r}")
    partners = best_partners(acts_a, acts_b, k=1, direction=direction, n_threads=n_threads)
    claiming = np.flatnonzero(partners.indices[:, 0] >= 0)
    claimed = partners.indices[claiming, 0]
    feature_a, feature_b = (claiming, claimed) if direction == "a_to_b" else (claimed, claiming)
    return FeaturePairs(
        feature_a=feature_a,
        feature_b=feature_b,
        correlation=partners.correlations[claiming, 0],
        n_active_a=acts_a.n_active()[feature_a],
        n_active_b=acts_b.n_active()[feature_b],
        dropped_by=np.full(len(claiming), "", dtype=np.str_),
    )
