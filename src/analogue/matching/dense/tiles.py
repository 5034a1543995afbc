"""Tiles of the correlation matrix, and the pairs that may be among the best of them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from analogue.matching.dense.arithmetic import PRECISIONS, error_bound, matmul_settings
from analogue.matching.dense.moments import Side, standardised
from analogue.matching.dense.ranks import Ranks
from analogue.matching.dense.stream import Stream

# A candidate's exact correlation takes about as long as this many columns of a tile.
_COLUMNS_A_CANDIDATE = 32
_TILE_BYTES_CPU = 2**30


def default_tile_bytes(device: torch.device) -> int:
    """Memory for tiles: every tile costs a pass over the tokens."""
    return _TILE_BYTES_CPU if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 4


class _Near(NamedTuple):
    """Pairs near enough to the k-th highest correlation of a feature, and the features with too many to list."""

    own: Int64[Tensor, " n_pairs"]
    other: Int64[Tensor, " n_pairs"]
    correlation: Float[Tensor, " n_pairs"]
    crowded: Int64[Tensor, " n_crowded"]


def candidate_pairs(
    stream: Stream, a: Side, b: Side, k: int, precision: str, both: bool, tile_bytes: int
) -> tuple[Int64[Tensor, " n_pairs"], Int64[Tensor, " n_pairs"]]:
    """Pairs (label of A, label of B) among which are the best k of every feature of A; with `both`, of B as well.

    See `best_partners_dense` for why none is missed. A label is a position in a side's features. One pass over the
    tokens a tile; features with more candidates than a float32 tile is worth get one. All ranks get the same pairs.
    """
    forward, reverse = _sweep(stream, a, b, k, precision, both, tile_bytes)
    found = [(forward.own, forward.other), (reverse.other, reverse.own)]
    if len(forward.crowded):
        labels = torch.unique(forward.crowded)
        own, other = candidate_pairs(stream, a.take(labels), b, k, "float32", False, tile_bytes)
        found.append((labels[own], other))
    if len(reverse.crowded):
        labels = torch.unique(reverse.crowded)
        own, other = candidate_pairs(stream.swapped(), b.take(labels), a, k, "float32", False, tile_bytes)
        found.append((other, labels[own]))
    keys = torch.unique(torch.cat([label_a * b.n_live + label_b for label_a, label_b in found]))
    return keys // b.n_live, keys % b.n_live


def correlation_tile(stream: Stream, a: Side, b: Side, precision: str) -> Float[Tensor, "n_live_a n_live_b"]:
    """Terms of this rank's tokens to the correlations of two sides' features, in one pass; alone, the correlations."""
    dtype, wide = PRECISIONS[precision].dtype, PRECISIONS[precision].accumulator
    tile = torch.zeros(a.n_live, b.n_live, dtype=wide, device=stream.device)
    with matmul_settings(precision):
        for acts_a, acts_b in stream:
            x, y = standardised(acts_a, a, dtype), standardised(acts_b, b, dtype)
            if dtype == wide:
                tile.addmm_(x.T, y)
            else:
                tile += x.T @ y
    return tile


def _sweep(
    stream: Stream, a: Side, b: Side, k: int, precision: str, both: bool, tile_bytes: int
) -> tuple[_Near, _Near]:
    """Candidates of A's features and, with `both`, of B's, from tiles of some of A's features by all of B's."""
    ranks, margin = stream.ranks, 2 * error_bound(precision, stream.n_terms)
    n_rows = _rows_a_tile(precision, b.n_live, ranks.size, tile_bytes)
    highest = torch.full((min(k, a.n_live), b.n_live), -torch.inf, device=stream.device)
    forward, reverse = [_nothing(stream.device)], [_nothing(stream.device)]
    for start in range(0, a.n_live, n_rows):
        terms = correlation_tile(stream, a.take(slice(start, start + n_rows)), b, precision)
        tile, offset = ranks.sum_rows(terms)
        del terms
        first = start + offset
        lowest = tile.topk(min(k, b.n_live), dim=1).values[:, -1]
        near = _near(tile, lowest - margin, _limit(precision, k, b.n_live))
        forward.append(near._replace(own=near.own + first, crowded=near.crowded + first))
        if both:
            own_highest = tile.topk(min(len(highest), len(tile)), dim=0).values
            highest = torch.cat([highest, ranks.concatenate(own_highest)]).topk(len(highest), dim=0).values
            near = _near(tile.T, highest[-1] - margin, _limit(precision, k, a.n_live))
            reverse.append(near._replace(other=near.other + first))
    return _joined(forward, ranks), _joined([_at_least(near, highest[-1] - margin) for near in reverse], ranks)


def _rows_a_tile(precision: str, n_other: int, n_ranks: int, tile_bytes: int) -> int:
    """Rows of a tile: a multiple of the ranks, that fits with as much again, and with twice that where ranks sum it."""
    n_copies = 2 if n_ranks == 1 else 4
    n_rows = tile_bytes // (n_copies * PRECISIONS[precision].accumulator.itemsize * n_other)
    return max(1, n_rows // n_ranks) * n_ranks


def _near(tile: Float[Tensor, "n_own n_other"], threshold: Float[Tensor, " n_own"], limit: int) -> _Near:
    """Pairs at or above their row's threshold; none of a row that has more than `limit`."""
    near = tile >= threshold[:, None]
    crowded = near.sum(1) > limit
    near[crowded] = False
    own, other = near.nonzero(as_tuple=True)
    return _Near(own, other, tile[own, other], crowded.nonzero().squeeze(1))


def _limit(precision: str, k: int, n_other: int) -> int:
    """Candidates beyond which a row is cheaper in float32."""
    return 4 * k + n_other // _COLUMNS_A_CANDIDATE if PRECISIONS[precision].n_roundings else n_other


def _joined(parts: list[_Near], ranks: Ranks) -> _Near:
    """Of all tiles and ranks."""
    return _Near(*(ranks.concatenate(torch.cat(columns)) for columns in zip(*parts, strict=True)))


def _at_least(near: _Near, threshold: Float[Tensor, " n_own"]) -> _Near:
    """Drop what an early tile let through: thresholds rise from tile to tile."""
    keep = near.correlation >= threshold[near.own]
    return _Near(near.own[keep], near.other[keep], near.correlation[keep], near.crowded)


def _nothing(device: torch.device) -> _Near:
    none = torch.empty(0, dtype=torch.int64, device=device)
    return _Near(none, none, none.float(), none)
