"""Decoder rows carried from one model to the other: how close they come to their partner's, and to other rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from analogue.matching import unit_rows

LIKE_COUNT = 2.0
"""Firing counts are alike up to this factor."""
_PAIRS = 256  # whose cosines with all rows are held at a time


class MappedRows(NamedTuple):
    """Mapped decoder rows beside their partners'; an entry per pair.

    Attributes:
        cosine: of the mapped row with the partner's; NaN where one of them is zero.
        rank: of the partner among B's live rows by cosine with the mapped row, 1 for the closest; ties share a rank.
        auc: share of B's other live rows that are farther than the partner, ties counting half: the area under the ROC
            curve of telling the partner from them by cosine. 0.5 is chance.
        n_hard: number of hard negatives of the partner.
        cosine_hard: mean cosine of the mapped row with these; NaN without any.
        auc_hard: share of them that are farther than the partner; NaN without any.
    """

    cosine: Float64[np.ndarray, " n_pairs"]
    rank: Float64[np.ndarray, " n_pairs"]
    auc: Float64[np.ndarray, " n_pairs"]
    n_hard: Int64[np.ndarray, " n_pairs"]
    cosine_hard: Float64[np.ndarray, " n_pairs"]
    auc_hard: Float64[np.ndarray, " n_pairs"]


def score_mapped_rows(
    mapped: Float[np.ndarray, "n_pairs d_b"],
    partner: Int64[np.ndarray, " n_pairs"],
    rows_b: Float[np.ndarray, "d_sae_b d_b"],
    live_b: Bool[np.ndarray, " d_sae_b"],
    hard: Sequence[Int64[np.ndarray, " n_hard"]],
) -> MappedRows:
    """Compare mapped decoder rows with B's.

    Args:
        mapped: A's decoder row of each pair, mapped by the weight of an `AffineMap`: a direction has no shift.
        partner: B's feature of each pair, a live one.
        rows_b: B's decoder.
        live_b: the features that fire.
        hard: B's hard negatives of each pair, see `hard_negatives`.
    """
    found = []
    units = unit_rows(np.asarray(rows_b, dtype=np.float64))
    for start in range(0, len(mapped), _PAIRS):
        some = slice(start, start + _PAIRS)
        cosines = unit_rows(np.asarray(mapped[some], dtype=np.float64)) @ units.T
        for row, feature, others in zip(cosines, partner[some], hard[some], strict=True):
            among = live_b.copy()
            among[feature] = False
            cosine = row[feature] if units[feature].any() and row.any() else np.nan
            rank = 1 + (row[among] > cosine).sum() + (row[among] == cosine).sum() / 2
            closer = row[others].mean() if len(others) else np.nan
            found.append((cosine, rank, area(cosine, row[among]), len(others), closer, area(cosine, row[others])))
    columns = np.array(found, dtype=np.float64).reshape(-1, 6).T
    cosine, rank, auc, n_hard, cosine_hard, auc_hard = columns
    return MappedRows(cosine, rank, auc, n_hard.astype(np.int64), cosine_hard, auc_hard)


def area(value: float, others: Float64[np.ndarray, " n"]) -> float:
    """Share of others below a value, ties counting half; NaN without others."""
    return float(((others < value) + 0.5 * (others == value)).mean()) if len(others) else float("nan")


def hard_negatives(
    feature: int,
    firing_count: Int64[np.ndarray, " d_sae"],
    top_strings: Sequence[Sequence[str]],
) -> Int64[np.ndarray, " n_hard"]:
    """Other features that fire on about as many tokens as a feature does and share a top token with it.

    By its top tokens alone, such a feature cannot be told from the given one. A test that tells the partner from its
    hard negatives shows more than "fires often" and "fires on that word".

    Args:
        feature: whose hard negatives are wanted.
        firing_count: of every feature, in tokens.
        top_strings: the top tokens of every feature.

    Returns:
        Features, those that share most top tokens first, of these the ones of the closest firing count.
    """
    own, count = {*top_strings[feature]}, firing_count[feature]
    alike = (firing_count * LIKE_COUNT >= count) & (firing_count <= count * LIKE_COUNT) & (firing_count > 0)
    alike[feature] = False
    shared = {other: len(own & {*top_strings[other]}) for other in np.flatnonzero(alike).tolist()}
    distance = np.abs(np.log(np.maximum(firing_count, 1) / max(count, 1)))
    order = sorted((other for other, n in shared.items() if n), key=lambda other: (-shared[other], distance[other]))
    return np.array(order, dtype=np.int64)
