"""Filters of feature pairs: pure functions from pairs to pairs that mark what they drop (paper, section 3, Appendix F).

Each considers only pairs that are still kept, and never brings one back.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from jaxtyping import Float64

from analogue.errors import check_option
from analogue.features import FRAGMENT, TopTokens
from analogue.matching.pairs import FeaturePairs
from analogue.options import Keep, NonConcept


def drop_non_concept(
    pairs: FeaturePairs,
    top_a: TopTokens,
    top_b: TopTokens,
    non_concept_tokens: Collection[str],
    non_concept: str = NonConcept.listed,
) -> FeaturePairs:
    """Drop a pair if any top token of either feature is a non-concept token (Appendix F).

    Args:
        pairs: pairs to filter.
        top_a: top tokens of A's features.
        top_b: top tokens of B's features.
        non_concept_tokens: token strings, compared exactly: punctuation, white space, special tokens.
        non_concept: `listed` for only these tokens; `no_letter` also for all tokens without a letter of any script:
            digits, ` (`, several line breaks, a byte of a character.

    Raises:
        ValueError: if `non_concept` is none of the two.
    """
    check_option("non_concept", non_concept, NonConcept)
    if isinstance(non_concept_tokens, str):
        raise ValueError(f"expected a collection of token strings, got the string {non_concept_tokens!r}")
    strings = {string for top in (top_a, top_b) for tokens in top.strings for string in tokens}
    letterless = filter(_has_no_letter, strings) if non_concept == NonConcept.no_letter else ()
    unwanted = frozenset([*non_concept_tokens, *letterless])
    drops = [
        not unwanted.isdisjoint(top_a.strings[a]) or not unwanted.isdisjoint(top_b.strings[b])
        for a, b in _features(pairs)
    ]
    return pairs.drop(np.array(drops, dtype=bool), "non_concept")


def require_shared_token(pairs: FeaturePairs, top_a: TopTokens, top_b: TopTokens) -> FeaturePairs:
    """Keep a pair only if the two features have a top token string in common."""
    disjoint = [set(top_a.strings[a]).isdisjoint(top_b.strings[b]) for a, b in _features(pairs)]
    return pairs.drop(np.array(disjoint, dtype=bool), "no_shared_token")


def one_to_one(pairs: FeaturePairs, keep: str = Keep.best) -> FeaturePairs:
    """Leave no feature of either side in two pairs.

    Args:
        pairs: pairs to filter.
        keep: of several claims on one feature, "best" keeps the highest correlation, ties to the lower claiming
            feature; "first" keeps the first in index order, as the published code does; "strict" keeps none.

    Raises:
        ValueError: if `keep` is none of the three.
    """
    check_option("keep", keep, Keep)
    if keep == Keep.strict:
        shared = _claimed_again(pairs.feature_a, pairs.kept) | _claimed_again(pairs.feature_b, pairs.kept)
        return pairs.drop(shared, "one_to_one")
    candidates = np.flatnonzero(pairs.kept)
    if keep == Keep.best:
        candidates = candidates[np.argsort(-pairs.correlation[candidates], kind="stable")]
    taken_a, taken_b = set[int](), set[int]()
    second_claim = np.zeros(len(pairs), dtype=bool)
    for pair in candidates.tolist():
        a, b = int(pairs.feature_a[pair]), int(pairs.feature_b[pair])
        if a in taken_a or b in taken_b:
            second_claim[pair] = True
            continue
        taken_a.add(a)
        taken_b.add(b)
    return pairs.drop(second_claim, "one_to_one")


def minimum_correlation(pairs: FeaturePairs, threshold: float) -> FeaturePairs:
    """Drop pairs whose correlation is below `threshold` (published code, whole spaces: 0.1)."""
    return pairs.drop(pairs.correlation < threshold, "minimum_correlation")


def minimum_firing_count(pairs: FeaturePairs, n: int) -> FeaturePairs:
    """Drop pairs if either feature fires on fewer than `n` tokens: correlations of such features are mostly noise.

    Two features that fire once, on one token, correlate at 1.
    """
    return pairs.drop(np.minimum(pairs.n_active_a, pairs.n_active_b) < n, "minimum_firing_count")


def maximum_q_value(pairs: FeaturePairs, q_value: Float64[np.ndarray, " n_pairs"], threshold: float) -> FeaturePairs:
    """Drop pairs whose q-value is above `threshold`, or that have none."""
    return pairs.drop(~(q_value <= threshold), "maximum_q_value")


def apply_filters(
    pairs: FeaturePairs, filters: Sequence[tuple[str, Callable[[FeaturePairs], FeaturePairs]]]
) -> tuple[FeaturePairs, list[tuple[str, int]]]:
    """Apply named filters one after the other.

    Args:
        pairs: pairs to filter.
        filters: name and function of each; bind further arguments with `functools.partial`.

    Returns:
        The pairs, each dropped one marked with the name given here, and the funnel: ("paired", n), then each filter's
        name with the number of pairs it left.

    Raises:
        ValueError: if a filter returns another number of pairs, or brings a dropped one back.
    """
    funnel = [("paired", pairs.n_kept)]
    for name, function in filters:
        filtered = function(pairs)
        if len(filtered) != len(pairs) or (filtered.kept & ~pairs.kept).any():
            raise ValueError(
                f"expected filter {name!r} to mark drops among {len(pairs)} pairs, got pairs added or gone"
            )
        pairs = pairs.drop(~filtered.kept, name)
        funnel.append((name, pairs.n_kept))
    return pairs, funnel


def _has_no_letter(string: str) -> bool:
    return not any(character.isalpha() for character in FRAGMENT.sub("", string))


def _features(pairs: FeaturePairs) -> list[tuple[int, int]]:
    return list(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True))


def _claimed_again(features: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Whether a feature is in more than one kept pair."""
    claimed, n_claims = np.unique(features[kept], return_counts=True)
    return np.isin(features, claimed[n_claims > 1])
