"""Greedy pairing: the highest correlation first."""

import numpy as np

from analogue.features import FeatureActivations
from analogue.matching.candidates import K_CANDIDATES, Candidates, as_pairs, candidates, check_direction
from analogue.matching.pairs import FeaturePairs
from analogue.matching.partners import Direction, FindPartners, best_partners


def greedy(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: Direction = "a_to_b",
    find: FindPartners = best_partners,
    k: int = K_CANDIDATES,
) -> FeaturePairs:
    """Pair the two most correlated features, take both off, and go on while a correlation is positive.

    Exact whatever k: the pairs are those of sorting the whole correlation matrix, ties to the lower feature of A, then
    of B. Only the best k partners of features still free are looked at, with twice the k in each further round.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: whose order the pairs are in; which pairs there are does not depend on it.
        find: what finds best partners; `best_partners` or a stand-in for it, such as one that shares the work out.
        k: partners a feature in the first round, at least 1.

    Returns:
        The pairs, one-to-one.

    Raises:
        ValueError: if the sides differ in n_tokens, k is below 1, or the direction is neither of the two.
    """
    check_direction(direction)
    free_a, free_b = np.arange(acts_a.d_sae), np.arange(acts_b.d_sae)
    rounds: list[Candidates] = []
    while not rounds or len(rounds[-1].feature_a):
        graph = candidates(acts_a, acts_b, k, find, free_a, free_b)
        rounds.append(graph.take(np.array(_settled(graph), dtype=np.int64)))
        free_a = np.setdiff1d(free_a, rounds[-1].feature_a)
        free_b = np.setdiff1d(free_b, rounds[-1].feature_b)
        k = min(2 * k, max(acts_a.d_sae, acts_b.d_sae))
    feature_a, feature_b, correlation, _ = (np.concatenate(column) for column in zip(*rounds, strict=True))
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def _settled(graph: Candidates) -> list[int]:
    """The edges that greedy pairing takes for certain, knowing these candidates alone; at least the first.

    An edge that neither list shows comes after all that either shows. So an edge on both lists is taken as soon as it
    is met with both features free. Met on one list only, the other feature's list is used up: an edge not shown might
    come first. Then both features wait, and with them whoever would have chosen them.
    """
    order = np.lexsort((graph.feature_b, graph.feature_a, -graph.correlation))
    taken_a, taken_b = set[int](), set[int]()
    waiting_a, waiting_b = set[int](), set[int]()
    settled = []
    edges = (column[order].tolist() for column in (graph.feature_a, graph.feature_b, graph.on_both_lists))
    for edge, a, b, on_both_lists in zip(order.tolist(), *edges, strict=True):
        if a in taken_a or b in taken_b:
            continue
        if on_both_lists and a not in waiting_a and b not in waiting_b:
            taken_a.add(a)
            taken_b.add(b)
            settled.append(edge)
        else:
            waiting_a.add(a)
            waiting_b.add(b)
    return settled
