"""The pairing rules by name, and those that need no more than best partners.

Every rule is called as `rule(acts_a, acts_b, direction, find=...)`; bind its other settings with `functools.partial`.
"""

from collections.abc import Callable

import numpy as np

from analogue.errors import check_option
from analogue.features import FeatureActivations
from analogue.matching.candidates import K_CANDIDATES, Candidates, candidates
from analogue.matching.cosine import cosine
from analogue.matching.hungarian import hungarian
from analogue.matching.optimal_transport import optimal_transport
from analogue.matching.pairs import FeaturePairs, as_pairs
from analogue.matching.partners import FindPartners, best_partners
from analogue.matching.sae_match import sae_match
from analogue.options import Direction

PairingRule = Callable[..., FeaturePairs]


def max_correlation(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
) -> FeaturePairs:
    """Pair every feature of the claiming side with its most correlated partner (paper, section 3).

    Several features may claim one partner. Section 3 and Appendix A of the paper name the directions in opposite ways;
    in its published code, "b_to_a" is both the pairing of whole spaces and Appendix A's ManyA-to-1B.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: "a_to_b" if A claims, "b_to_a" if B does.
        find: finds the partners: `best_partners`, or a function of its arguments, such as one that ranks share.

    Returns:
        One pair for every feature of the claiming side that has a partner, in its order. Features that never fire, or
        are constant, are in none.

    Raises:
        ValueError: if the sides differ in n_tokens, or the direction is neither of the two.
    """
    check_option("direction", direction, Direction)
    partners = find(acts_a, acts_b, k=1, direction=direction)
    claiming = np.flatnonzero(partners.indices[:, 0] >= 0)
    claimed = partners.indices[claiming, 0]
    feature_a, feature_b = (claiming, claimed) if direction == Direction.a_to_b else (claimed, claiming)
    correlation = partners.correlations[claiming, 0]
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def mutual(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
) -> FeaturePairs:
    """Pair two features if each is the other's most correlated partner.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: whose order the pairs are in; which pairs there are does not depend on it.
        find: finds the partners, see `max_correlation`.

    Returns:
        The pairs, one-to-one. Of partners of equal correlation the lowest feature is the best.

    Raises:
        ValueError: if the sides differ in n_tokens, or the direction is neither of the two.
    """
    check_option("direction", direction, Direction)
    a_to_b, b_to_a = find(acts_a, acts_b, k=1, direction="both")
    best_of_a, best_of_b = a_to_b.indices[:, 0], b_to_a.indices[:, 0]
    alive = np.flatnonzero(best_of_a >= 0)
    feature_a = alive[best_of_b[best_of_a[alive]] == alive]
    feature_b, correlation = best_of_a[feature_a], a_to_b.correlations[feature_a, 0]
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def greedy(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
    k: int = K_CANDIDATES,
) -> FeaturePairs:
    """Pair the two most correlated features, take both off, and go on while a correlation is positive.

    Exact whatever k: the pairs are those of sorting the whole correlation matrix, ties to the lower feature of A, then
    of B. Only the best k partners of features still free are considered, with twice the k in each further round.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: whose order the pairs are in; which pairs there are does not depend on it.
        find: finds the partners, see `max_correlation`.
        k: partners per feature in the first round, at least 1.

    Returns:
        The pairs, one-to-one.

    Raises:
        ValueError: if the sides differ in n_tokens, k is below 1, or the direction is neither of the two.
    """
    check_option("direction", direction, Direction)
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

    An edge on neither list comes after all that are on one. So an edge on both lists is taken as soon as it is met with
    both features free. If it is on one list only, the other feature's list is used up: an edge beyond it might come
    first. Then both features wait, and so does whoever would have chosen them.
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


RULES: dict[str, PairingRule] = {
    "max_correlation": max_correlation,
    "mutual": mutual,
    "greedy": greedy,
    "hungarian": hungarian,
    "optimal_transport": optimal_transport,
    "cosine": cosine,  # needs decoder_a and decoder_b too
    "sae_match": sae_match,  # needs an assignment
}
