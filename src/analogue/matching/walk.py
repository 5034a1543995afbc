"""The compiled walk of one side's columns against the other's rows (Gustavson's algorithm).

Imported on first use: numba takes a while to load. The kernel runs without Python's lock, so any number of plain
threads may run it side by side, each on its own columns with its own `Scratch`. Every sum runs over a column's tokens
in ascending order, whatever thread it falls to and whichever side is walked: results do not depend on threads, and
r_ij is bitwise r_ji.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64
from numba import njit

from analogue.matching.operands import Columns, Operand

# Perfect correlation is common (two features that fire once, on one token) and must tie exactly.
_ROUNDING = 1e-12
# A column with fewer products than this share of the other side's features keeps a list of those it meets.
_FEW = 1 / 8
_BLOCK = 64


class Ranking(NamedTuple):
    """The best k partners of n features, best first; (k, n), so that the k-th correlations lie side by side."""

    partners: Int64[np.ndarray, "k n"]
    correlations: Float64[np.ndarray, "k n"]


class Scratch(NamedTuple):
    """One thread's working memory: a row of the correlation matrix in the making."""

    sums: Float64[np.ndarray, " n_live"]
    """Sums of products; all 0 between columns."""
    met: Int32[np.ndarray, " n_live"]
    """Labels that fire together with a column of few products."""


@njit(cache=True, nogil=True)
def insert(ranking: Ranking, own: int, partner: int, correlation: float) -> None:
    """Give `partner` its place in the ranking of feature `own`: higher first, of equals the lower index, none twice."""
    partners, correlations = ranking
    place = len(correlations)
    while place > 0 and (
        correlation > correlations[place - 1, own]
        or (correlation == correlations[place - 1, own] and partner < partners[place - 1, own])
    ):
        place -= 1
    if place == len(correlations) or (place > 0 and partners[place - 1, own] == partner):
        return
    for slot in range(len(correlations) - 1, place, -1):
        correlations[slot, own] = correlations[slot - 1, own]
        partners[slot, own] = partners[slot - 1, own]
    correlations[place, own] = correlation
    partners[place, own] = partner


@njit(cache=True, nogil=True)
def merge(into: Ranking, other: Ranking) -> None:
    """Merge another thread's ranking of the same features; the order of merging does not matter."""
    k, n = other.partners.shape
    for slot in range(k):
        for own in range(n):
            insert(into, own, other.partners[slot, own], other.correlations[slot, own])


@njit(cache=True, nogil=True)
def _correlation(sum_products: float, mean_over_sds: float) -> float:
    """Pearson's r in [-1, 1] (see `Operand`); what differs from 1 or -1 by rounding alone is 1 or -1."""
    correlation = sum_products - mean_over_sds
    if correlation > 1.0 - _ROUNDING:
        return 1.0
    if correlation < -1.0 + _ROUNDING:
        return -1.0
    return correlation


@njit(cache=True, nogil=True)
def _rank(
    label: int, partner: int, own: Operand, rows: Operand, scratch: Scratch, forward: Ranking, reverse: Ranking
) -> None:
    """Rank one feature for a column and, with a reverse ranking, the column for that feature."""
    correlation = _correlation(scratch.sums[partner], own.mean_over_sd[label] * rows.mean_over_sd[partner])
    if correlation >= forward.correlations[-1, label]:
        insert(forward, label, rows.features[partner], correlation)
    if len(reverse.correlations) and correlation >= reverse.correlations[-1, partner]:
        insert(reverse, partner, own.features[label], correlation)


@njit(cache=True, nogil=True)
def _walk_few(
    label: int, own: Operand, columns: Columns, rows: Operand, order: np.ndarray, scratch: Scratch,
    forward: Ranking, reverse: Ranking,
) -> None:
    """Walk a column that meets few features: only those are looked at, and the best of the rest."""
    sums, met = scratch
    n_met = 0
    for entry in range(columns.indptr[label], columns.indptr[label + 1]):
        token, value = columns.tokens[entry], columns.values[entry]
        for other in range(rows.indptr[token], rows.indptr[token + 1]):
            partner = np.uint32(rows.labels[other])
            # Without a branch, which the processor would guess wrong half the time. A sum that cancels to 0 lists its
            # feature again; insert() ranks it once.
            met[n_met] = partner
            n_met += sums[partner] == 0.0
            sums[partner] += value * rows.values[other]
    for position in range(n_met):
        _rank(label, met[position], own, rows, scratch, forward, reverse)
    _rank_silent(label, own, rows, order, scratch, forward)
    for position in range(n_met):
        sums[met[position]] = 0.0


@njit(cache=True, nogil=True)
def _rank_silent(label: int, own: Operand, rows: Operand, order: np.ndarray, scratch: Scratch, best: Ranking) -> None:
    """Rank the features that never fire together with a column.

    Their correlation is -m_i m_j alone, so `order` has them best first, and the walk ends at the first that has no
    place: at once where k partners correlate positively.
    """
    for partner in order:
        if scratch.sums[partner] != 0.0:
            continue
        correlation = _correlation(0.0, own.mean_over_sd[label] * rows.mean_over_sd[partner])
        feature, last = rows.features[partner], best.correlations[-1, label]
        if correlation < last or (correlation == last and feature > best.partners[-1, label]):
            break
        insert(best, label, feature, correlation)


@njit(cache=True, nogil=True)
def _walk_many(
    label: int, own: Operand, columns: Columns, rows: Operand, scratch: Scratch, forward: Ranking, reverse: Ranking
) -> None:
    """Walk a column that meets many features: look at all, in blocks most of which hold nothing of rank."""
    sums, n_live = scratch.sums, len(rows.features)
    for entry in range(columns.indptr[label], columns.indptr[label + 1]):
        token, value = columns.tokens[entry], columns.values[entry]
        for other in range(rows.indptr[token], rows.indptr[token + 1]):
            sums[np.uint32(rows.labels[other])] += value * rows.values[other]
    for start in range(0, n_live, _BLOCK):
        stop = min(start + _BLOCK, n_live)
        if _any_of_rank(label, start, stop, own, rows, scratch, forward, reverse):
            for partner in range(start, stop):
                _rank(label, partner, own, rows, scratch, forward, reverse)
    sums[:] = 0.0


@njit(cache=True, nogil=True)
def _any_of_rank(
    label: int, start: int, stop: int, own: Operand, rows: Operand, scratch: Scratch,
    forward: Ranking, reverse: Ranking,
) -> bool:
    """Whether a block may hold a feature with a place in either ranking; counted, not searched, to vectorise."""
    sums, ratios, ratio = scratch.sums, rows.mean_over_sd, own.mean_over_sd[label]
    lowest, mutual = forward.correlations[-1, label] - _ROUNDING, len(reverse.correlations) > 0
    n_of_rank = 0
    if mutual:
        for partner in range(start, stop):
            correlation = sums[partner] - ratio * ratios[partner]
            n_of_rank += (correlation >= lowest) | (correlation >= reverse.correlations[-1, partner] - _ROUNDING)
    else:
        for partner in range(start, stop):
            n_of_rank += sums[partner] - ratio * ratios[partner] >= lowest
    return n_of_rank > 0


@njit(cache=True, nogil=True)
def walk_columns(
    labels: np.ndarray, own: Operand, columns: Columns, rows: Operand, silent_orders: np.ndarray, scratch: Scratch,
    forward: Ranking, reverse: Ranking,
) -> None:
    """Rank the best partners among `rows` of each column in `labels`.

    Args:
        labels: columns to walk.
        own: the operand that the columns belong to.
        columns: its transpose.
        rows: the other side.
        silent_orders: (3, n_live) labels of the other side by falling -sign(m_i) m_j, for m_i below, at, above 0.
        scratch: this thread's working memory.
        forward: (k, own.n_live), filled at `labels`.
        reverse: (k, rows.n_live), in which each column also takes its place for every feature it fires together with;
            (0, rows.n_live) to leave it.
    """
    for label in labels:
        n_products = 0
        for entry in range(columns.indptr[label], columns.indptr[label + 1]):
            token = columns.tokens[entry]
            n_products += rows.indptr[token + 1] - rows.indptr[token]
        if n_products < _FEW * len(rows.features):
            order = silent_orders[int(np.sign(own.mean_over_sd[label])) + 1]
            _walk_few(label, own, columns, rows, order, scratch, forward, reverse)
        else:
            _walk_many(label, own, columns, rows, scratch, forward, reverse)
