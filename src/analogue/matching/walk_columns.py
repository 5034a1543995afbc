"""The compiled walk of one side's columns against the other's rows (Gustavson's algorithm).

It runs without Python's lock: any number of threads may run it side by side, each on its own columns with its own
`Scratch`. Every sum runs over a column's tokens in ascending order, whatever thread computes it and whichever side is
walked, so results do not depend on threads, and r_ij is bitwise r_ji.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64

from analogue.compiled import compiled
from analogue.matching.standardised import DECIMALS, ROUNDING, Columns, Operand

# A column with fewer products than this share of the other side's features keeps a list of those it meets.
_FEW = 1 / 8
_SCALE = 10.0**DECIMALS
_BLOCK = 64


class Ranking(NamedTuple):
    """The best k partners of n features, best first."""

    partners: Int64[np.ndarray, "n k"]
    correlations: Float64[np.ndarray, "n k"]
    lowest: Float64[np.ndarray, " n"]
    """The k-th correlations, side by side: what a partner must reach to have a place."""


class Scratch(NamedTuple):
    """One thread's working memory: a row of the correlation matrix in the making."""

    sums: Float64[np.ndarray, " n_live"]
    """Sums of products; all 0 between columns."""
    met: Int32[np.ndarray, " n_live"]
    """Labels that fire together with a column of few products."""


@compiled()
def insert(ranking: Ranking, own: int, partner: int, correlation: float) -> None:
    """Give `partner` its place in the ranking of feature `own`: higher first, of equals the lower index, none twice."""
    partners, correlations = ranking.partners[own], ranking.correlations[own]
    k = len(correlations)
    place = k
    while place > 0 and (
        correlation > correlations[place - 1]
        or (correlation == correlations[place - 1] and partner < partners[place - 1])
    ):
        place -= 1
    if place == k or (place > 0 and partners[place - 1] == partner):
        return
    for slot in range(k - 1, place, -1):
        correlations[slot] = correlations[slot - 1]
        partners[slot] = partners[slot - 1]
    correlations[place] = correlation
    partners[place] = partner
    ranking.lowest[own] = correlations[k - 1]


@compiled()
def merge(into: Ranking, other: Ranking) -> None:
    """Merge another thread's ranking of the same features; the order of merging does not matter."""
    n, k = other.partners.shape
    for own in range(n):
        for slot in range(k):
            insert(into, own, other.partners[own, slot], other.correlations[own, slot])


@compiled()
def _correlation(sum_products: float, mean_over_sds: float) -> float:
    """Pearson's r in [-1, 1]; what differs by rounding alone is equal."""
    correlation = np.rint((sum_products - mean_over_sds) * _SCALE) / _SCALE
    return min(1.0, max(-1.0, correlation))


@compiled()
def _rank(
    label: int, partner: int, own: Operand, rows: Operand, sums: np.ndarray, forward: Ranking, reverse: Ranking
) -> None:
    """Rank one feature for a column and, with a reverse ranking, the column for that feature."""
    correlation = _correlation(sums[partner], own.mean_over_sd[label] * rows.mean_over_sd[partner])
    insert(forward, label, rows.features[partner], correlation)
    if len(reverse.lowest):
        insert(reverse, partner, own.features[label], correlation)


@compiled()
def _sum_listing(label: int, columns: Columns, rows: Operand, sums: np.ndarray, met: np.ndarray) -> int:
    """Sum the products of a column that meets few features, and list those; returns how many it listed."""
    starts, labels, values = rows.indptr, rows.labels, rows.values
    n_met = 0
    for entry in range(columns.indptr[label], columns.indptr[label + 1]):
        token, value = columns.tokens[entry], columns.values[entry]
        for other in range(starts[token], starts[token + 1]):
            partner = np.uint32(labels[other])
            # Without a branch, which the processor would guess wrong half the time. A sum that cancels to 0 lists its
            # feature again; insert() ranks it once.
            met[n_met] = partner
            n_met += sums[partner] == 0.0
            sums[partner] += value * values[other]
    return n_met


@compiled()
def _sum_all(label: int, columns: Columns, rows: Operand, sums: np.ndarray) -> None:
    """Sum the products of a column that meets many features."""
    starts, labels, values = rows.indptr, rows.labels, rows.values
    for entry in range(columns.indptr[label], columns.indptr[label + 1]):
        token, value = columns.tokens[entry], columns.values[entry]
        for other in range(starts[token], starts[token + 1]):
            sums[np.uint32(labels[other])] += value * values[other]


@compiled()
def _list_of_rank(
    label: int, n_met: int, own: Operand, rows: Operand, scratch: Scratch, forward: Ranking, reverse: Ranking
) -> None:
    """Rank the listed features of a column."""
    sums, met = scratch
    ratio, ratios = own.mean_over_sd[label], rows.mean_over_sd
    lowest, lowest_reverse, mutual = forward.lowest, reverse.lowest, len(reverse.lowest) > 0
    for position in range(n_met):
        partner = np.uint32(met[position])
        upper = sums[partner] - ratio * ratios[partner] + ROUNDING
        if upper >= lowest[label] or (mutual and upper >= lowest_reverse[partner]):
            _rank(label, int(partner), own, rows, sums, forward, reverse)


@compiled()
def _all_of_rank(label: int, own: Operand, rows: Operand, scratch: Scratch, forward: Ranking, reverse: Ranking) -> None:
    """Rank all features for a column, in blocks; counting those of rank, before looking for them, vectorises."""
    sums = scratch.sums
    ratio, ratios = own.mean_over_sd[label], rows.mean_over_sd
    lowest, lowest_reverse, mutual = forward.lowest, reverse.lowest, len(reverse.lowest) > 0
    for start in range(0, len(sums), _BLOCK):
        stop = min(start + _BLOCK, len(sums))
        threshold, n_of_rank = lowest[label] - ROUNDING, 0
        for partner in range(start, stop):
            n_of_rank += sums[partner] - ratio * ratios[partner] >= threshold
        if mutual:
            for partner in range(start, stop):
                n_of_rank += sums[partner] - ratio * ratios[partner] >= lowest_reverse[partner] - ROUNDING
        if n_of_rank > 0:
            for partner in range(start, stop):
                upper = sums[partner] - ratio * ratios[partner] + ROUNDING
                if upper >= lowest[label] or (mutual and upper >= lowest_reverse[partner]):
                    _rank(label, partner, own, rows, sums, forward, reverse)


@compiled()
def _rank_silent(label: int, own: Operand, rows: Operand, order: np.ndarray, scratch: Scratch, best: Ranking) -> None:
    """Rank the features that never fire together with a column.

    Their correlation is -m_i m_j alone, so `order` has them best first, and the walk ends at the first below the k-th
    best: at once where k partners correlate positively.
    """
    for partner in order:
        if scratch.sums[partner] != 0.0:
            continue
        correlation = _correlation(0.0, own.mean_over_sd[label] * rows.mean_over_sd[partner])
        if correlation < best.lowest[label]:
            break
        insert(best, label, rows.features[partner], correlation)


@compiled()
def walk_columns(
    labels: np.ndarray,
    own: Operand,
    columns: Columns,
    rows: Operand,
    silent_orders: np.ndarray,
    scratch: Scratch,
    forward: Ranking,
    reverse: Ranking,
) -> None:
    """Rank the best partners among `rows` of the columns `labels` of `own`, of which `columns` is the transpose.

    `silent_orders` (3, n_live) has the labels of `rows` by falling -m_i m_j, for an m_i below, at, and above 0.
    `forward` (own.n_live, k) is filled at `labels`. In `reverse` (rows.n_live, k) each column also takes its place for
    every feature it fires together with; (0, k) leaves that out.
    """
    for label in labels:
        n_products = 0
        for entry in range(columns.indptr[label], columns.indptr[label + 1]):
            token = columns.tokens[entry]
            n_products += rows.indptr[token + 1] - rows.indptr[token]
        if n_products < _FEW * len(rows.features):
            n_met = _sum_listing(label, columns, rows, scratch.sums, scratch.met)
            _list_of_rank(label, n_met, own, rows, scratch, forward, reverse)
            order = silent_orders[int(np.sign(own.mean_over_sd[label])) + 1]
            _rank_silent(label, own, rows, order, scratch, forward)
            for position in range(n_met):
                scratch.sums[scratch.met[position]] = 0.0
        else:
            _sum_all(label, columns, rows, scratch.sums)
            _all_of_rank(label, own, rows, scratch, forward, reverse)
            scratch.sums[:] = 0.0


@compiled()
def highest_of_columns(
    own: Operand, columns: Columns, rows: Operand, scratch: Scratch, highest: np.ndarray, highest_reverse: np.ndarray
) -> None:
    """Raise `highest` (own.n_live,) and `highest_reverse` (rows.n_live,) to the highest correlation of each feature.

    `columns` is the transpose of `own`, its tokens numbered as those of `rows`. Features that never fire together are
    left out: both arrays come with an upper bound for them.
    """
    sums, met = scratch
    ratios = rows.mean_over_sd
    for label in range(len(own.features)):
        n_products = 0
        for entry in range(columns.indptr[label], columns.indptr[label + 1]):
            token = columns.tokens[entry]
            n_products += rows.indptr[token + 1] - rows.indptr[token]
        ratio, top = own.mean_over_sd[label], highest[label]
        if n_products < len(ratios):
            n_met = _sum_listing(label, columns, rows, sums, met)
            for position in range(n_met):
                partner = np.uint32(met[position])
                correlation = sums[partner] - ratio * ratios[partner]
                top = max(top, correlation)
                highest_reverse[partner] = max(highest_reverse[partner], correlation)
            for position in range(n_met):
                sums[np.uint32(met[position])] = 0.0
        else:
            _sum_all(label, columns, rows, sums)
            for other in range(len(ratios)):
                correlation = sums[other] - ratio * ratios[other]
                top = max(top, correlation)
                highest_reverse[other] = max(highest_reverse[other], correlation)
            sums[:] = 0.0
        highest[label] = top
