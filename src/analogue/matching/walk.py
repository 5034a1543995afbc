"""The sparse engine: walks one side's columns on all cores, and gets both directions out of one walk.

Imported on first use, for numba takes a while to load.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from jaxtyping import Int32, Int64

from analogue.matching.pairs import BestPartners
from analogue.matching.standardised import ROUNDING, Columns, Operand, Standardised
from analogue.matching.walk_columns import Ranking, Scratch, merge, walk_columns

# Columns differ in cost by orders of magnitude; threads take one of many shares of equal cost at a time.
_SHARES_PER_THREAD = 32
_NO_PARTNER = np.iinfo(np.int64).max


def walk(
    own: Standardised, other: Standardised, k: int, both: bool, n_threads: int
) -> tuple[BestPartners, BestPartners | None]:
    """The best k partners of every feature of `own`: (d_sae, k); with `both`, of `other` as well.

    One walk over own's columns meets every pair that fires together, and ranks it on both sides. That settles a feature
    of the other side unless one that it never fires with might be among its best; only such features are walked again.
    """
    a, b = own.operand(), other.operand()
    forward, reverse = _walk(_rarest_first(a), a, b, k, n_threads, both)
    if not both:
        return _in_full_numbering(forward, a, own.d_sae), None
    unsettled = np.flatnonzero(~(reverse.lowest > highest_silent(b, a) + ROUNDING))
    if len(unsettled):
        again, _ = _walk(unsettled, b, a, k, n_threads, both=False)
        for settled, walked in zip(reverse, again, strict=True):
            settled[unsettled] = walked[unsettled]
    return _in_full_numbering(forward, a, own.d_sae), _in_full_numbering(reverse, b, other.d_sae)


def _walk(
    labels: Int64[np.ndarray, " n"], own: Operand, rows: Operand, k: int, n_threads: int, both: bool
) -> tuple[Ranking, Ranking]:
    """Walk the columns `labels` of `own` on n_threads threads."""
    columns, orders = Columns.of(own), _silent_orders(rows)
    forward = _empty_ranking(own.n_live, k)
    shares = iter(_equal_shares(labels, columns, n_threads * _SHARES_PER_THREAD))

    def work(shares: Iterator[np.ndarray]) -> Ranking:
        reverse = _empty_ranking(rows.n_live if both else 0, k)
        scratch = Scratch(np.zeros(rows.n_live), np.empty(rows.n_live, dtype=np.int32))
        for share in shares:  # all threads draw from one iterator
            walk_columns(share, own, columns, rows, orders, scratch, forward, reverse)
        return reverse

    if n_threads == 1:
        return forward, work(shares)
    with ThreadPoolExecutor(n_threads) as pool:
        reverses = list(pool.map(work, [shares] * n_threads))
    for other in reverses[1:]:
        merge(reverses[0], other)
    return forward, reverses[0]


def _rarest_first(own: Operand) -> Int64[np.ndarray, " n_live"]:
    """Labels by rising firing count.

    Rare features reach the highest correlations. Met first, they leave little of rank for the many pairs that follow.
    """
    return np.arange(own.n_live)[::-1].copy()


def _equal_shares(labels: np.ndarray, columns: Columns, n_shares: int) -> list[np.ndarray]:
    """Cut the columns into consecutive shares of about equal numbers of entries, the measure of their cost."""
    if len(labels) == 0:
        return []
    cost = np.cumsum(np.diff(columns.indptr)[labels] + 1)
    cuts = np.searchsorted(cost, np.linspace(0, cost[-1], n_shares + 1)[1:-1], side="right")
    return [labels[start:stop] for start, stop in pairwise([0, *cuts.tolist(), len(labels)]) if stop > start]


def _silent_orders(rows: Operand) -> Int32[np.ndarray, "3 n_live"]:
    """Labels by falling correlation with a feature they never fire with, ties to the lowest feature.

    That correlation is -m_i m_j: it rises with m_j where m_i is negative, is 0 where m_i is, and falls otherwise.
    """
    ratios = rows.mean_over_sd
    orders = [np.lexsort((rows.features, key)) for key in (-ratios, np.zeros_like(ratios), ratios)]
    return np.stack(orders).astype(np.int32)


def highest_silent(own: Operand, rows: Operand) -> np.ndarray:
    """Upper bound, for each feature of `own`, of its correlation with one of `rows` that never fires with it."""
    if rows.n_live == 0:
        return np.full(own.n_live, -np.inf)
    ratios = rows.mean_over_sd
    return np.maximum(-own.mean_over_sd * ratios.min(), -own.mean_over_sd * ratios.max())


def _empty_ranking(n: int, k: int) -> Ranking:
    return Ranking(np.full((n, k), _NO_PARTNER, dtype=np.int64), np.full((n, k), -np.inf), np.full(n, -np.inf))


def _in_full_numbering(ranking: Ranking, own: Operand, d_sae: int) -> BestPartners:
    """Spread the rankings of labels over all features."""
    best, found = BestPartners.nobody(d_sae, ranking.partners.shape[1]), np.isfinite(ranking.correlations)
    best.indices[own.features] = np.where(found, ranking.partners, -1)
    best.correlations[own.features] = np.where(found, ranking.correlations, np.nan)
    return best
