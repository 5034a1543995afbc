"""Assignment: the one-to-one pairing of the highest total correlation."""

import numpy as np
from jaxtyping import Int64
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from analogue.errors import check_option
from analogue.features import FeatureActivations
from analogue.matching.candidates import K_CANDIDATES, Candidates, candidates
from analogue.matching.pairs import FeaturePairs, as_pairs
from analogue.matching.partners import FindPartners, best_partners
from analogue.matching.subsets import SubsetCorrelations
from analogue.options import Direction

# A correlation matrix of up to 2048 x 2048 takes 32 MB, and its assignment a second or so.
_DENSE_ENTRIES = 2048**2


def hungarian(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
    k: int | None = None,
) -> FeaturePairs:
    """Pair one-to-one so that the correlations of the pairs sum to the most.

    A feature may stay without a partner, which counts 0: no pair has a negative correlation.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: whose order the pairs are in; which pairs there are does not depend on it.
        find: finds the partners, see `max_correlation`.
        k: choose only from pairs of which one feature is among the best k partners of the other. By default, choose
            from all pairs if the correlation matrix is no larger than 2048 x 2048, else with k = 32.

    Returns:
        The pairs; of all one-to-one pairings of the pairs to choose from, the one of the highest total.

    Raises:
        ValueError: if the sides differ in n_tokens, k is below 1, or the direction is neither of the two.

    Source:
        Kuhn 1955; solved by Jonker and Volgenant's algorithm (1987), dense and sparse, of SciPy.
    """
    check_option("direction", direction, Direction)
    if k is None and acts_a.d_sae * acts_b.d_sae <= _DENSE_ENTRIES:
        feature_a, feature_b, correlation = _assign_all(SubsetCorrelations(acts_a, acts_b))
    else:
        graph = candidates(acts_a, acts_b, K_CANDIDATES if k is None else k, find)
        feature_a, feature_b, correlation, _ = graph.take(_assigned(graph))
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def _assign_all(correlations: SubsetCorrelations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features and correlations of the best assignment of all pairs."""
    matrix = np.maximum(correlations.matrix(correlations.live_a, correlations.live_b), 0.0)
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    paired = matrix[rows, columns] > 0
    rows, columns = rows[paired], columns[paired]
    return correlations.live_a[rows], correlations.live_b[columns], matrix[rows, columns]


def _assigned(graph: Candidates) -> Int64[np.ndarray, " n_pairs"]:
    """The edges of the best assignment of a graph.

    Every feature of A gets one more edge, of correlation 0, to a dummy partner of its own. So a matching of all
    rows, which the solver requires, always exists.
    """
    if len(graph.feature_a) == 0:
        return np.empty(0, dtype=np.int64)
    features, rows = np.unique(graph.feature_a, return_inverse=True)
    n, n_columns = len(features), int(graph.feature_b.max()) + 1
    # To the solver a weight of 0 is no edge. All rows are matched, so adding 1 to every weight changes nothing.
    weights = 1.0 + np.concatenate([graph.correlation, np.zeros(n)])
    dummies = np.arange(n)
    edges = np.concatenate([rows, dummies]), np.concatenate([graph.feature_b, n_columns + dummies])
    biadjacency = csr_array((weights, edges), shape=(n, n_columns + n))
    partner = min_weight_full_bipartite_matching(biadjacency, maximize=True)[1]
    return np.flatnonzero(partner[rows] == graph.feature_b)
