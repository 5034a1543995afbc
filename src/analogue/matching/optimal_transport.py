"""Entropic optimal transport: features spread their mass over partners; the one that gets most is the pair."""

import numpy as np
from jaxtyping import Float64
from scipy.sparse import csr_array

from analogue.errors import InvalidArgument, check_option, warn
from analogue.features import FeatureActivations
from analogue.matching.candidates import K_CANDIDATES, candidates
from analogue.matching.pairs import FeaturePairs, as_pairs
from analogue.matching.partners import FindPartners, best_partners
from analogue.options import Direction

_MAX_ITERATIONS = 5000
_TOLERANCE = 1e-6
# Below, exp(-cost / regularisation) and the scalings leave the range of float64.
_MINIMUM_REGULARISATION = 0.005


def optimal_transport(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
    k: int = K_CANDIDATES,
    regularisation: float = 0.05,
    relaxation: float = 1.0,
) -> FeaturePairs:
    """Pair every feature of the claiming side with the partner that most of its mass is transported to.

    Every feature has mass 1; to move mass costs 1 - correlation. Unlike with `max_correlation`, a partner that many
    features claim can only take a limited mass, and the rest goes to the next best partners. The marginals are relaxed
    (unbalanced transport), so that there is a plan whatever the candidates and the numbers of features: a feature whose
    candidates are all better served elsewhere moves less than 1.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: "a_to_b" if A claims, "b_to_a" if B does.
        find: finds the partners, see `max_correlation`.
        k: mass moves only between features of which one is among the best k partners of the other.
        regularisation: weight of the plan's entropy, in units of correlation, at least 0.005; with much of it, mass
            spreads over all candidates.
        relaxation: weight of the divergence of the marginals from 1, positive; the higher, the more exactly masses are
            kept.

    Returns:
        One pair for every feature of the claiming side that has a positive correlation; several may claim one partner.

    Raises:
        ValueError: if the sides differ in n_tokens, k, regularisation or relaxation is too small, or the direction is
            neither of the two.

    Source:
        Cuturi 2013, "Sinkhorn distances", arXiv 1306.0895; relaxed marginals: Chizat et al. 2018, "Scaling algorithms
        for unbalanced optimal transport problems", arXiv 1607.05816.
    """
    check_option("direction", direction, Direction)
    if not regularisation >= _MINIMUM_REGULARISATION:
        raise InvalidArgument("regularisation", regularisation, f"expected at least {_MINIMUM_REGULARISATION}")
    if not relaxation > 0:
        raise InvalidArgument("relaxation", relaxation, "expected a positive number")
    feature_a, feature_b, correlation, _ = candidates(acts_a, acts_b, k, find)
    affinity = np.exp((correlation - 1) / regularisation)
    rows, columns = sinkhorn(
        csr_array((affinity, (feature_a, feature_b)), shape=(acts_a.d_sae, acts_b.d_sae)),
        exponent=relaxation / (relaxation + regularisation),
    )
    mass = rows[feature_a] * affinity * columns[feature_b]
    claiming, claimed = (feature_a, feature_b) if direction == Direction.a_to_b else (feature_b, feature_a)
    order = np.lexsort((claimed, -mass, claiming))  # most mass first, ties to the lower partner
    best = order[np.diff(claiming[order], prepend=-1) > 0]
    chosen = feature_a[best], feature_b[best], correlation[best]
    return as_pairs(*chosen, acts_a.n_active(), acts_b.n_active(), direction)


def sinkhorn(
    affinity: csr_array, exponent: float
) -> tuple[Float64[np.ndarray, " n_rows"], Float64[np.ndarray, " n_columns"]]:
    """Sinkhorn's algorithm on sparse affinities, all masses 1.

    Args:
        affinity: (n_rows, n_columns) exp(-cost / regularisation), 0 where no mass may move.
        exponent: relaxation / (relaxation + regularisation), in (0, 1); 1 keeps the marginals exactly.

    Returns:
        The scalings: the plan is affinity[i, j] * rows[i] * columns[j]. Rows and columns without affinities have 0.
    """
    transposed = csr_array(affinity.T)
    columns = np.ones(affinity.shape[1])
    for _ in range(_MAX_ITERATIONS):
        rows = _power(affinity @ columns, -exponent)
        earlier, columns = columns, _power(transposed @ rows, -exponent)
        error = np.abs(columns - earlier).max(initial=0.0) / columns.max(initial=1.0)
        if error < _TOLERANCE:
            break
    else:
        problem = f"optimal transport has not converged: scalings still move by {error:.1g}"
        warn(problem)
    return rows, columns


def _power(values: Float64[np.ndarray, " n"], exponent: float) -> Float64[np.ndarray, " n"]:
    """0 stays 0."""
    return np.power(values, exponent, out=np.zeros_like(values), where=values > 0)
