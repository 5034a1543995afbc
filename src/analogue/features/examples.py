"""Where to see a feature fire: examples from all of its activations, and as much of the rest as a page can hold."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt32

from analogue.errors import check_minima

EVERY = 2**32 - 1  # the limit of `sampled` that leaves nothing out


def example_positions(
    tokens: Int64[np.ndarray, " n"],
    values: Float32[np.ndarray, " n"],
    n_top: int = 6,
    n_lower: int = 6,
    apart: int = 20,
) -> Int64[np.ndarray, " n_examples"]:
    """Tokens that show what a feature does: its highest activations, then some from the quantiles below.

    Args:
        tokens: (n,) the tokens on which it fires, ascending.
        values: (n,) its activations there.
        n_top: examples of the highest activations; they stand `apart` tokens from each other as long as there are
            enough such places.
        n_lower: examples at evenly spaced quantiles of all other activations.
        apart: tokens between two of the highest.

    Returns:
        Positions in order of falling activation, ties to the lowest token; all n of them where there are no more than
        n_top + n_lower.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> values = np.array([1.0, 9.0, 8.0, 2.0, 3.0], dtype=np.float32)
        >>> example_positions(np.array([0, 50, 51, 100, 200]), values, n_top=2, n_lower=1).tolist()
        [50, 200, 100]
    """
    check_minima({"n_top": (n_top, 0), "n_lower": (n_lower, 0), "apart": (apart, 0)})
    falling = np.lexsort((tokens, -values))
    if len(tokens) <= n_top + n_lower:
        return tokens[falling]
    top: list[int] = []
    for entry in falling[: 50 * n_top].tolist():
        if len(top) == n_top:
            break
        if all(abs(tokens[entry] - tokens[chosen]) > apart for chosen in top):
            top.append(entry)
    close = [entry for entry in falling[: 2 * n_top].tolist() if entry not in top]
    top += close[: n_top - len(top)]
    others = falling[~np.isin(falling, top)]
    lower = others[((np.arange(n_lower) + 0.5) * len(others) / max(n_lower, 1)).astype(np.int64)]
    chosen = np.concatenate([np.array(top, dtype=np.int64), lower])
    return tokens[chosen[np.lexsort((tokens[chosen], -values[chosen]))]]


def windows(
    positions: Int64[np.ndarray, " n"], lengths: Int64[np.ndarray, " n_sequences"], reach: int = 20
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Start and stop of the text `reach` units either side of each position, within its sequence."""
    ends = np.cumsum(lengths)
    sequence = np.searchsorted(ends, positions, side="right")
    start, stop = ends[sequence] - lengths[sequence], ends[sequence]
    return np.maximum(start, positions - reach), np.minimum(stop, positions + reach + 1)


def inside(
    tokens: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " m"], stops: Int64[np.ndarray, " m"]
) -> Bool[np.ndarray, " n"]:
    """Which of the ascending tokens lie in any of the windows."""
    change = np.zeros(len(tokens) + 1, dtype=np.int64)
    np.add.at(change, np.searchsorted(tokens, starts), 1)
    np.add.at(change, np.searchsorted(tokens, stops), -1)
    return np.cumsum(change[:-1]) > 0


class HeldActivations(NamedTuple):
    """Which activations of a feature are kept for the examples that show it.

    Attributes:
        which: (n,) of its tokens.
        reach: units either side of a position that are kept.
        n_groups: groups of positions, the first ones, about which they are kept.
    """

    which: Bool[np.ndarray, " n"]
    reach: int
    n_groups: int


def held_activations(
    tokens: Int64[np.ndarray, " n"],
    groups: Sequence[Int64[np.ndarray, " m"]],
    lengths: Int64[np.ndarray, " n_sequences"],
    room: int,
    reaches: Sequence[int],
) -> HeldActivations:
    """Choose the activations about examples that a page has room for.

    All groups with the widest reach, if there is room for these; else as many groups, from the first on, as there is
    room for. The first two, a feature's own examples and its partner's, are always kept, if need be with a narrower
    reach.

    Args:
        tokens: the tokens on which the feature fires, ascending.
        groups: positions of examples, the most important ones first.
        lengths: units of each sequence.
        room: activations, at most; more only where the narrowest reach has more.
        reaches: from the widest to the narrowest.
    """

    def about(n_groups: int, reach: int) -> Bool[np.ndarray, " n"]:
        return inside(tokens, *windows(np.concatenate(groups[:n_groups]), lengths, reach))

    which = about(len(groups), reaches[0])
    if which.sum() <= room:
        return HeldActivations(which, reaches[0], len(groups))
    n_groups = min(2, len(groups))
    for reach in reaches:
        which = about(n_groups, reach)
        if which.sum() <= room:
            break
    while reach == reaches[0] and n_groups < len(groups):
        more = about(n_groups + 1, reach)
        if more.sum() > room:
            break
        which, n_groups = more, n_groups + 1
    return HeldActivations(which, reach, n_groups)


def shuffled_order(tokens: Int64[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
    """A number for each token, no two alike, in an order that has nothing to do with the text.

    The tokens of lowest number are the same sample of the text for every feature, so activations of two features that
    were sampled in this order can be compared token by token. The number is given by the finaliser of MurmurHash3,
    which a page can also compute.
    """
    mixed = tokens.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    return mixed ^ (mixed >> np.uint32(16))


def sampled(tokens: Int64[np.ndarray, " n"], at_most: int) -> tuple[Bool[np.ndarray, " n"], int]:
    """Some of a feature's tokens, those that come first in `shuffled_order`.

    Returns:
        Which tokens, and the limit: every token of the feature whose number is not above it is among them.
    """
    if len(tokens) <= at_most:
        return np.ones(len(tokens), dtype=bool), EVERY
    order = shuffled_order(tokens)
    limit = int(np.partition(order, at_most - 1)[at_most - 1]) if at_most else -1
    return order.astype(np.int64) <= limit, limit


def sample_size(n_active: Int64[np.ndarray, " n_features"] | Sequence[int], in_all: int, at_most: int) -> int:
    """The largest number of activations per feature, up to `at_most`, that keeps their total within `in_all`.

    Example:
        >>> sample_size([10, 10, 1000], 60, 500)
        40
    """
    counts = np.asarray(n_active)
    low, high = 0, at_most
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= in_all:
            low = middle
        else:
            high = middle - 1
    return low
