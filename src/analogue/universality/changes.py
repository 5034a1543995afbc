"""From one space to the next: which features stay, split, merge, appear and disappear."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from analogue.features import FeatureActivations
from analogue.matching import Standardised, paired_correlations
from analogue.universality.links import Links, Partners, Q

INSIDE = 0.5
"""The share of a part's activation that must fall on tokens of the whole, and of the whole's on those of its parts."""
ADDED = 0.05
"""The share of the whole's activation that each part covers and the other does not."""
DISJOINT = 0.3
"""The highest correlation of two features that are parts of one."""


@dataclass(frozen=True)
class Union:
    """A feature whose activations are the union of two others'.

    Attributes:
        whole: of the one space.
        parts: of the other.
        covered: the share of the whole's activation on tokens on which either part fires.
        correlations: of the whole with each part.
    """

    whole: int
    parts: tuple[int, int]
    covered: float
    correlations: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Changes:
    """What happens to features between a space and the next.

    Attributes:
        stays: (n, 2) features of both that are linked.
        splits: features of the first that are unions of two of the second.
        merges: features of the second that are unions of two of the first.
        disappears: features of the first without a partner in the second, linked or in a union.
        appears: likewise of the second.
    """

    stays: Int64[np.ndarray, "n 2"]
    splits: list[Union]
    merges: list[Union]
    disappears: Int64[np.ndarray, " n_gone"]
    appears: Int64[np.ndarray, " n_new"]


def changes(
    acts_a: FeatureActivations, acts_b: FeatureActivations, a: Partners, b: Partners, links: Links, q: float = Q
) -> Changes:
    """What happens to the live features of A on the way to B; `links` of A and B, q the rate of both sides."""
    splits, merges = unions(acts_a, acts_b, b, q), unions(acts_b, acts_a, a, q)
    strong = links.strong()
    known: tuple[set[int], set[int]] = set(strong.feature_a.tolist()), set(strong.feature_b.tolist())
    for side, (wholes, parts) in enumerate(((splits, merges), (merges, splits))):
        known[side].update(each.whole for each in wholes)
        known[side].update(part for each in parts for part in each.parts)
    gone, new = (
        np.setdiff1d(np.flatnonzero(side.feature >= 0), sorted(known[number])) for number, side in enumerate((a, b))
    )
    return Changes(np.stack([strong.feature_a, strong.feature_b], axis=1), splits, merges, gone, new)


def unions(whole_acts: FeatureActivations, part_acts: FeatureActivations, parts: Partners, q: float = Q) -> list[Union]:
    """Features of one space that are unions of two features of the other.

    Both parts have the whole as their best partner, beyond chance, and hardly correlate with each other. Most of their
    activation falls on the whole's tokens, most of the whole's on theirs, and each covers some that the other does not.
    Of several parts, the two of highest correlation count.

    Args:
        whole_acts: activations (n_tokens, d_sae) of the space of the wholes.
        part_acts: activations on the same tokens of that of the parts.
        parts: the partners of the parts' features among the wholes.
        q: the highest q-value of a partner beyond chance.
    """
    candidates = np.flatnonzero(parts.is_beyond_chance(q) & (parts.feature >= 0))
    order = candidates[np.lexsort((-parts.correlation[candidates], parts.feature[candidates]))]
    whole, first = np.unique(parts.feature[order], return_index=True)
    has_two = np.append(np.diff(first), len(order) - first[-1:]) >= 2
    whole, one, two = whole[has_two], order[first[has_two]], order[first[has_two] + 1]
    moments = Standardised.of(part_acts)
    together = paired_correlations(moments, moments, one, two)
    shares = _shares(whole_acts, part_acts, whole, one, two)
    r_one, r_two = parts.correlation[one], parts.correlation[two]
    is_union = (together <= DISJOINT) & (shares.inside >= INSIDE) & (shares.covered >= INSIDE) & (shares.added >= ADDED)
    columns = (each[is_union].tolist() for each in (whole, one, two, shares.covered, r_one, r_two))
    return [Union(w, (p, q), covered, (r, s)) for w, p, q, covered, r, s in zip(*columns, strict=True)]


class _Shares(NamedTuple):
    """Of n possible unions: what the least of both parts has inside the whole, what both cover, what each adds."""

    inside: np.ndarray
    covered: np.ndarray
    added: np.ndarray


def _shares(
    whole_acts: FeatureActivations, part_acts: FeatureActivations, whole: np.ndarray, one: np.ndarray, two: np.ndarray
) -> _Shares:
    def columns(acts: FeatureActivations, features: np.ndarray) -> tuple[Any, Any]:
        size = abs(acts.to_scipy().tocsc()[:, features].astype(np.float64))
        return size / size.sum(axis=0), (size > 0).astype(np.float64)

    (w, w_fires), (p, p_fires), (q, q_fires) = (
        columns(acts, features) for acts, features in ((whole_acts, whole), (part_acts, one), (part_acts, two))
    )
    inside = np.minimum(*(part.multiply(w_fires).sum(axis=0) for part in (p, q)))
    by_one, by_two = (w.multiply(fires).sum(axis=0) for fires in (p_fires, q_fires))
    by_both = w.multiply(p_fires).multiply(q_fires).sum(axis=0)
    return _Shares(inside, by_one + by_two - by_both, np.minimum(by_one, by_two) - by_both)
