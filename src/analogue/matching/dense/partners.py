"""The best partners of every feature by the correlation of dense activations."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from analogue.matching.dense.arithmetic import PRECISIONS
from analogue.matching.dense.moments import Side, dense_moments, live_side
from analogue.matching.dense.ranks import Ranks
from analogue.matching.dense.scores import best_of, exact_correlations
from analogue.matching.dense.stream import Chunk, Stream
from analogue.matching.dense.tiles import candidate_pairs, default_tile_bytes
from analogue.matching.partners import BestPartners, Direction, Subset, as_indices

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

TilePrecision = Literal["float64", "float32", "tf32", "bf16"]


@overload
def best_partners_dense(
    chunks: Iterable[Chunk],
    k: int = ...,
    direction: Direction = ...,
    precision: TilePrecision = ...,
    device: str | torch.device = ...,
    tile_bytes: int | None = ...,
    subset_a: Subset | None = ...,
    subset_b: Subset | None = ...,
    group: "ProcessGroup | None" = ...,
) -> BestPartners: ...


@overload
def best_partners_dense(
    chunks: Iterable[Chunk],
    k: int = ...,
    *,
    direction: Literal["both"],
    precision: TilePrecision = ...,
    device: str | torch.device = ...,
    tile_bytes: int | None = ...,
    subset_a: Subset | None = ...,
    subset_b: Subset | None = ...,
    group: "ProcessGroup | None" = ...,
) -> tuple[BestPartners, BestPartners]: ...


def best_partners_dense(
    chunks: Iterable[Chunk],
    k: int = 1,
    direction: Literal["a_to_b", "b_to_a", "both"] = "a_to_b",
    precision: TilePrecision = "float32",
    device: str | torch.device = "cpu",
    tile_bytes: int | None = None,
    subset_a: Subset | None = None,
    subset_b: Subset | None = None,
    group: "ProcessGroup | None" = None,
) -> BestPartners | tuple[BestPartners, BestPartners]:
    """Find the k features of the other side that correlate most with each feature, from dense activations.

    The result is that of `best_partners`, whatever the precision, which decides only how long it takes. It is reached
    in three kinds of passes over the tokens:

    1. Means and norms of all features, in float64.
    2. One pass for each tile of the correlation matrix: some features of A by all of B, as many as fit in
       `tile_bytes`. Activations are centred and scaled before they are multiplied, so that large means cost no digits.
       A tile keeps, for every feature, *all* pairs within 2e of its k-th highest correlation in the tile, e being how
       far rounding can move a correlation (`error_bound`: 0.012 in bf16, 0.002 in tf32, 4e-5 in float32 over 30,000
       tokens). That suffices: the k pairs that lead the tile have exact correlations of at least the k-th's value less
       e, and a pair listed nowhere has one below that. Typically 1 to 3 a feature; where bf16 or tf32 leave more than
       4k + d/32, which is dearer than a product in float32, those features get a float32 tile.
    3. The exact correlations of these pairs in float64, which alone decide indices, order and values.

    Memory: one chunk of either side twice over, `tile_bytes`, and the pairs; neither the activations nor the
    correlation matrix as a whole.

    With a `group`, each rank gives its own share of the tokens, and may have none. Means and norms are those of all
    tokens; a tile is reduce-scattered by rows of A, each rank looks for the candidates among its rows, all take their
    share of the sums of all candidates, and every rank returns the whole result. Ranks share the other arguments. An
    error in one rank's chunks is raised there alone, as by any collective.

    Args:
        chunks: pairs of tensors (n_chunk, d_a) and (n_chunk, d_b) of a floating dtype, on the same tokens. Read
            several times: a list, a `TokenChunks` over arrays or memory maps, anything but a generator. 4,096 tokens a
            chunk do well.
        k: partners a feature, at least 1.
        direction: "a_to_b" finds partners in B for features of A, "b_to_a" the reverse; "both" returns the pair of
            them, from the same tiles.
        precision: of the tiles. "bf16" pays on hardware that multiplies it faster and where best partners stand out
            from the rest; "tf32" is float32 where the hardware has none.
        device: where to compute; chunks are moved there one at a time.
        tile_bytes: memory for tiles, temporaries included; 1 GiB on a CPU, a quarter of what is free on a CUDA device,
            if None.
        subset_a: features of A to consider, on either end of a pair; all if None.
        subset_b: likewise for B.
        group: processes that share the tokens (`torch.distributed.group.WORLD`); None for this one alone. See above.

    Returns:
        As `best_partners`: (n, k) indices, -1 where there is none, and correlations in [-1, 1] to 12 decimals, NaN
        where there is none. Highest first, ties to the lowest index. Constant features have no partner and are none.

    Raises:
        ValueError: if an argument is out of range, no rank has a token, an activation is not finite, the chunks can be
            read only once, or they do not fit each other.

    Example:
        >>> from analogue.matching import TokenChunks
        >>> acts = torch.tensor([[1.0, 0.0, -2.0], [0.0, 3.0, 0.0], [2.0, 0.0, -4.0]])
        >>> best_partners_dense(TokenChunks(acts, acts), subset_b=[1, 2]).indices.ravel().tolist()
        [1, 1, 2]
    """
    tile_bytes = default_tile_bytes(torch.device(device)) if tile_bytes is None else tile_bytes
    _check_arguments(k, direction, precision, tile_bytes)
    stream = Stream(chunks, torch.device(device), Ranks(group))
    moments_a, moments_b, counts = dense_moments(stream)
    stream = replace(stream, counts=counts)
    d_a, d_b = len(moments_a.mean), len(moments_b.mean)
    subset_a, subset_b = as_indices(subset_a, d_a, "subset_a"), as_indices(subset_b, d_b, "subset_b")
    a, b = live_side(moments_a, _tensor(subset_a)), live_side(moments_b, _tensor(subset_b))

    if direction == "b_to_a":
        features_b, features_a, correlations = _pairs(stream.swapped(), b, a, k, False, precision, tile_bytes)
        return best_of(features_b, features_a, correlations, d_b, k).take(subset_b)
    features_a, features_b, correlations = _pairs(stream, a, b, k, direction == "both", precision, tile_bytes)
    forward = best_of(features_a, features_b, correlations, d_a, k).take(subset_a)
    if direction == "a_to_b":
        return forward
    return forward, best_of(features_b, features_a, correlations, d_b, k).take(subset_b)


def _pairs(
    stream: Stream, own: Side, other: Side, k: int, both: bool, precision: str, tile_bytes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of either side, and exact correlations, of pairs that contain every best one."""
    if own.n_live == 0 or other.n_live == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    labels_own, labels_other = candidate_pairs(stream, own, other, k, precision, both, tile_bytes)
    correlations = exact_correlations(stream, own, other, labels_own, labels_other)
    pairs = own.features[labels_own], other.features[labels_other], correlations
    features_own, features_other, exact = (column.cpu().numpy() for column in pairs)
    return features_own, features_other, exact


def _tensor(subset: Int64[np.ndarray, " n"] | None) -> Int64[Tensor, " n"] | None:
    return None if subset is None else torch.from_numpy(subset)


def _check_arguments(k: int, direction: str, precision: str, tile_bytes: int) -> None:
    if k < 1:
        raise ValueError(f"expected k >= 1, got {k}")
    if direction not in ("a_to_b", "b_to_a", "both"):
        raise ValueError(f"expected direction 'a_to_b', 'b_to_a' or 'both', got {direction!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"expected precision {', '.join(map(repr, PRECISIONS))}, got {precision!r}")
    if tile_bytes < 1:
        raise ValueError(f"expected tile_bytes >= 1, got {tile_bytes}")
