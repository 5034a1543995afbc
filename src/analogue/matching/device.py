"""The sparse problem in tiles on a torch device: every feature of A by as many of B as fit in memory.

One tile is a sparse matrix times a dense one: A's activations (n_live_a, n_tokens) by those of some features of B,
zeros filled in. Of an SAE's activations a thousandth are active; where more than some 0.7 % are, the dense engine is
faster (see docs/performance.md).
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array
from torch import Tensor

from analogue.matching.operands import DECIMALS, Operand, columns_of
from analogue.matching.walk import Ranking

_TILE_BYTES_CPU = 2**28


class _Features(NamedTuple):
    """An operand by rising feature, so that the first of equal correlations is the lowest feature's."""

    order: Int64[np.ndarray, " n_live"]
    """The operand's label of each."""
    acts: csr_array
    """(n_live, n_tokens)."""
    features: Int64[Tensor, " n_live"]
    mean_over_sd: Float64[Tensor, " n_live"]


class _Best(NamedTuple):
    """The best partners found so far, best first, ties to the lowest."""

    correlations: Float64[Tensor, "n k"]
    partners: Int64[Tensor, "n k"]


def rank_partners_in_tiles(own: Operand, other: Operand, k: int, device: str, tile_bytes: int | None = None) -> Ranking:
    """The best k partners among `other` of every feature of `own`: (own.n_live, k)."""
    return _rank(own, other, k, device, tile_bytes, both=False)[0]


def rank_both_in_tiles(
    a: Operand, b: Operand, k: int, device: str, tile_bytes: int | None = None
) -> tuple[Ranking, Ranking]:
    """The best k partners of every feature of either side, from the same tiles: (a.n_live, k) and (b.n_live, k)."""
    return _rank(a, b, k, device, tile_bytes, both=True)


def _rank(a: Operand, b: Operand, k: int, device: str, tile_bytes: int | None, both: bool) -> tuple[Ranking, Ranking]:
    own, other = _by_feature(a, device), _by_feature(b, device)
    forward, reverse = _nobody(a.n_live, k, device), _nobody(b.n_live, k, device)
    if a.n_live and b.n_live:
        rows = sparse_on(device, own.acts)
        width = _width(a.n_live, len(a.indptr) - 1, device, tile_bytes)
        for start in range(0, b.n_live, width):
            block = slice(start, start + width)
            tile = rows @ _dense(other.acts[block], device)
            tile.addr_(own.mean_over_sd, other.mean_over_sd[block], alpha=-1).clamp_(-1, 1).round_(decimals=DECIMALS)
            forward = _merged(forward, _highest(tile, other.features[block], k))
            if both:
                for best, found in zip(reverse, _highest(tile.T, own.features, k), strict=True):
                    best[block, : found.shape[1]] = found
    return _ranking(forward, own.order), _ranking(reverse, other.order)


def _highest(correlations: Float64[Tensor, "n m"], partners: Int64[Tensor, " m"], k: int) -> _Best:
    """The k highest of each row, as far as there are: k times the first maximum, which top-k does not promise."""
    found = []
    for _ in range(min(k, len(partners))):
        found.append(correlations.max(dim=1))
        correlations.scatter_(1, found[-1].indices[:, None], -torch.inf)
    values, indices = (torch.stack(columns, dim=1) for columns in zip(*found, strict=True))
    correlations.scatter_(1, indices, values)
    return _Best(values, partners[indices])


def _merged(best: _Best, found: _Best) -> _Best:
    """The best of both, where `found` has the higher features."""
    values = torch.cat([best.correlations, found.correlations], dim=1)
    partners = torch.cat([best.partners, found.partners], dim=1)
    values, places = values.sort(dim=1, descending=True, stable=True)
    k = best.partners.shape[1]
    return _Best(values[:, :k], partners.gather(1, places[:, :k]))


def _width(n_rows: int, n_tokens: int, device: str, tile_bytes: int | None) -> int:
    """Columns a tile, with as many of the dense factor, and one temporary of the tile's size."""
    if tile_bytes is None:
        on_cpu = torch.device(device).type == "cpu"
        tile_bytes = _TILE_BYTES_CPU if on_cpu else torch.cuda.mem_get_info(device)[0] // 2
    return max(1, tile_bytes // (8 * (n_tokens + 2 * n_rows)))


def _by_feature(operand: Operand, device: str) -> _Features:
    order = np.argsort(operand.features)
    columns = columns_of(operand)
    shape = operand.n_live, len(operand.indptr) - 1
    acts = csr_array((columns.values, columns.tokens, columns.indptr), shape=shape, copy=False)[order]
    return _Features(order, acts, _on(device, operand.features[order]), _on(device, operand.mean_over_sd[order]))


def sparse_on(device: str, acts: csr_array) -> Tensor:
    """A sparse matrix on a device."""
    index = np.int32 if acts.nnz <= np.iinfo(np.int32).max else np.int64
    indptr, indices = _on(device, acts.indptr.astype(index)), _on(device, acts.indices.astype(index))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        return torch.sparse_csr_tensor(indptr, indices, _on(device, acts.data), acts.shape, check_invariants=False)


def _dense(acts: csr_array, device: str) -> Float64[Tensor, "n_tokens n"]:
    """The transpose, zeros filled in."""
    features = _on(device, np.repeat(np.arange(acts.shape[0]), np.diff(acts.indptr)))
    tokens, values = _on(device, acts.indices.astype(np.int64)), _on(device, acts.data)
    return torch.zeros(acts.shape[::-1], dtype=torch.float64, device=device).index_put_((tokens, features), values)


def _nobody(n: int, k: int, device: str) -> _Best:
    return _Best(
        torch.full((n, k), -torch.inf, dtype=torch.float64, device=device),
        torch.full((n, k), -1, dtype=torch.int64, device=device),
    )


def _ranking(best: _Best, order: np.ndarray) -> Ranking:
    """Back from rising features to the operand's labels."""
    partners, correlations = (np.empty_like(column.cpu().numpy()) for column in (best.partners, best.correlations))
    partners[order], correlations[order] = best.partners.cpu().numpy(), best.correlations.cpu().numpy()
    return Ranking(partners, correlations, correlations[:, -1])


def _on(device: str, array: Any) -> Tensor:
    return torch.from_numpy(array).to(device)
