"""The dense engine: products of matrices, in tiles, on any torch device. For activations of which many are not zero.

Activations are made dense in chunks of tokens. One pass over the chunks gives one tile of the correlation matrix: some
features of one side by all of the other, as many as fit in memory. The float32 or TF32 products only choose candidates;
`exact_correlations` then takes those in float64, by the same sums in the same order as the walk: the engines agree to
the last bit.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from analogue.compiled import compiled
from analogue.matching.pairs import BestPartners
from analogue.matching.standardised import Columns, Standardised, as_correlations

# Activations of the wider side that are made dense at a time (128 MB), and entries that are transposed at a time.
_CHUNK, _TRANSPOSED = 2**25, 2**22
_TILE_BYTES_CPU = 2**30
# TF32 keeps 10 bits of a factor; it is taken to truncate, not to round.
_TF32_UNIT = 2.0**-10
# An exact correlation on 16 cores takes about as long as this many columns of a float32 tile on a GPU.
_COLUMNS_PER_CANDIDATE = 1000


class _Near(NamedTuple):
    """Pairs near enough to the k-th highest correlation of a feature, and the features with too many to list."""

    own: Int64[Tensor, " n_pairs"]
    other: Int64[Tensor, " n_pairs"]
    correlation: Float32[Tensor, " n_pairs"]
    crowded: Int64[Tensor, " n_crowded"]


def multiply(
    a: Standardised,
    b: Standardised,
    k: int,
    both: bool,
    n_threads: int,
    device: torch.device,
    tf32: bool | None = None,
    tile_bytes: int | None = None,
) -> tuple[BestPartners, BestPartners | None]:
    """The best k partners of every feature of A: (d_sae_a, k); with `both`, of B as well.

    Tiles are computed on the device, of factors rounded to TF32 where it is a GPU (or `tf32` says so), within 1 GiB, a
    quarter of what a GPU has free, or `tile_bytes`. The threads make activations dense and score candidates.
    """
    if len(a.labels) == 0 or len(b.labels) == 0:
        return BestPartners.nobody(a.d_sae, k), BestPartners.nobody(b.d_sae, k) if both else None
    if tile_bytes is None:
        tile_bytes = _TILE_BYTES_CPU if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 4
    with ThreadPoolExecutor(n_threads) as pool:
        tf32 = device.type != "cpu" if tf32 is None else tf32
        label_a, label_b = candidate_pairs(Tiles(a, b, device, tile_bytes, pool), k, both, tf32)
        correlations = exact_correlations(a, b, label_a, label_b, pool, n_threads)
    feature_a, feature_b = a.features[a.labels[label_a]], b.features[b.labels[label_b]]
    forward = _best_of(feature_a, feature_b, correlations, a.d_sae, k)
    return forward, _best_of(feature_b, feature_a, correlations, b.d_sae, k) if both else None


def error_bound(n_tokens: int, tf32: bool) -> float:
    """How far a correlation in a tile may lie from the exact one: 4e-5 over 30,000 tokens, in TF32 0.002 more.

    Rounding a factor by a relative u changes a term a_t b_t by at most u |a_t b_t|, and sum |a_t b_t| <= 1 for columns
    of norm 1 (Cauchy-Schwarz): two roundings change the correlation by at most (1 + u)^2 - 1, whatever the activations.
    The n roundings of the sum are bounded by sqrt(n) of them (Higham and Mary 2019), taken four times.
    """
    accumulated = (8 + 4 * sqrt(n_tokens)) * torch.finfo(torch.float32).eps / 2
    return accumulated + ((1 + _TF32_UNIT) ** 2 - 1 if tf32 else 0.0)


@dataclass(frozen=True)
class Tiles:
    """Tiles of the correlation matrix of two sides, computed on a device; threads make the activations dense."""

    a: Standardised
    b: Standardised
    device: torch.device
    n_bytes: int
    pool: Executor

    def swapped(self) -> "Tiles":
        """Those of the transpose."""
        return Tiles(self.b, self.a, self.device, self.n_bytes, self.pool)

    @property
    def n_rows(self) -> int:
        """Features of A in a tile: as many as fit with as much again for temporaries."""
        return max(1, self.n_bytes // (2 * 4 * len(self.b.labels)))

    def tile(self, rows: slice | Tensor, tf32: bool) -> Float32[Tensor, "n_rows n_live_b"]:
        """Correlations of these labels of A with all of B, in one pass over the tokens."""
        total: Tensor | None = None
        size = max(1, _CHUNK // max(len(self.a.labels), len(self.b.labels)))
        with _products_in(tf32):
            for start in range(0, self.a.acts.shape[0], size):
                chunk = partial(dense_chunk, start=start, stop=start + size, device=self.device)
                x, y = self.pool.map(chunk, (self.a, self.b))
                total = x[:, rows].T @ y if total is None else total.addmm_(x[:, rows].T, y)
        assert total is not None
        return total


def candidate_pairs(
    tiles: Tiles, k: int, both: bool, tf32: bool
) -> tuple[Int64[np.ndarray, " n_pairs"], Int64[np.ndarray, " n_pairs"]]:
    """Pairs (label of A, label of B) among which are the best k of every feature of A; with `both`, of B as well.

    A tile keeps, for every feature, *all* pairs within 2e of its k-th highest correlation in the tile, with e the
    `error_bound`. That suffices: the k pairs that lead the tile have exact correlations of at least the k-th's value
    less e, and the exact correlation of a pair that is not kept is below that. Typically 1 to 3 are kept per feature.
    Features for which TF32 leaves more than an exact correlation is worth get a float32 tile.
    """
    forward, reverse = _sweep(tiles, None, k, tf32, both)
    found = [(forward.own, forward.other), (reverse.other, reverse.own)]
    for near, turned in ((forward, tiles), (reverse, tiles.swapped())):
        if len(near.crowded):
            again, _ = _sweep(turned, torch.unique(near.crowded), k, tf32=False, both=False)
            found.append((again.own, again.other) if near is forward else (again.other, again.own))
    n_b = len(tiles.b.labels)
    keys = torch.unique(torch.cat([label_a * n_b + label_b for label_a, label_b in found])).cpu().numpy()
    return keys // n_b, keys % n_b


def _sweep(tiles: Tiles, labels: Tensor | None, k: int, tf32: bool, both: bool) -> tuple[_Near, _Near]:
    """Candidates of A's features (all, or these labels) and, with `both`, of B's, tile by tile."""
    n_a, n_b = len(tiles.a.labels), len(tiles.b.labels)
    device, margin = tiles.device, 2 * error_bound(tiles.a.acts.shape[0], tf32)
    labels = torch.arange(n_a, device=device) if labels is None else labels
    highest = torch.full((min(k, n_a), n_b), -torch.inf, device=device)
    none = torch.empty(0, dtype=torch.int64, device=device)
    forward, reverse = [_Near(none, none, none.float(), none)], [_Near(none, none, none.float(), none)]
    for rows in labels.split(tiles.n_rows):
        tile = tiles.tile(slice(int(rows[0]), int(rows[-1]) + 1) if len(labels) == n_a else rows, tf32)
        lowest = tile.topk(min(k, n_b), dim=1).values[:, -1]
        near = _near(tile, lowest - margin, _limit(k, n_b, tf32))
        forward.append(near._replace(own=rows[near.own], crowded=rows[near.crowded]))
        if both:
            found = tile.topk(min(len(highest), len(tile)), dim=0).values
            highest = torch.cat([highest, found]).topk(len(highest), dim=0).values
            near = _near(tile.T, highest[-1] - margin, _limit(k, n_a, tf32))
            reverse.append(near._replace(other=rows[near.other]))
    joined, found_by_b = (_Near(*map(torch.cat, zip(*parts, strict=True))) for parts in (forward, reverse))
    # Thresholds rise from tile to tile: drop what an early tile let through.
    keep = found_by_b.correlation >= (highest[-1] - margin)[found_by_b.own]
    own, other, correlation, crowded = found_by_b
    return joined, _Near(own[keep], other[keep], correlation[keep], crowded)


def _near(tile: Float[Tensor, "n_own n_other"], threshold: Float[Tensor, " n_own"], limit: int) -> _Near:
    """Pairs at or above their row's threshold; none of a row that has more than `limit`."""
    near = tile >= threshold[:, None]
    crowded = near.sum(1) > limit
    near[crowded] = False
    own, other = near.nonzero(as_tuple=True)
    return _Near(own, other, tile[own, other], crowded.nonzero().squeeze(1))


def _limit(k: int, n_other: int, tf32: bool) -> int:
    """Candidates beyond which a row is cheaper in float32."""
    return 4 * k + n_other // _COLUMNS_PER_CANDIDATE if tf32 else n_other


@contextmanager
def _products_in(tf32: bool) -> Iterator[None]:
    """Make float32 products mean float32, or TF32 where asked for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def dense_chunk(side: Standardised, start: int, stop: int, device: torch.device) -> Float32[Tensor, "n n_live"]:
    """Activations on a run of tokens less their mean, over their norm, taken in float64 and then rounded.

    On other devices than a CPU zeros are filled in there: the fewest bytes travel.
    """
    norm = side.norm[side.labels]
    mean = side.mean_over_sd[side.labels] / sqrt(side.acts.shape[0])  # over the norm
    fill = fill_on_cpu if device.type == "cpu" else fill_on_device
    silent, shift = -mean.astype(np.float32), side.centre[side.labels] + mean * norm
    return fill(device, *_run(side, start, stop), silent, shift, norm)


def _run(side: Standardised, start: int, stop: int) -> tuple[np.ndarray, ...]:
    """The compressed rows of a run of tokens as they are, and the label of each column."""
    indptr = side.acts.indptr[start : stop + 1].astype(np.int64)
    entries = slice(int(indptr[0]), int(indptr[-1]))
    return indptr - indptr[0], side.acts.indices[entries], side.acts.data[entries], side.label_of


def fill_on_cpu(device: torch.device, *arrays: np.ndarray) -> Float32[Tensor, "n n_live"]:
    """Standardised rows as a dense array, which is `silent` where a feature does not fire."""
    return torch.from_numpy(_fill(*arrays))


@compiled()
def _fill(indptr, indices, values, label_of, silent, shift, norm):  # type: ignore[no-untyped-def]
    out, scale = np.empty((len(indptr) - 1, len(norm)), dtype=np.float32), 1 / norm
    for token in range(len(out)):
        out[token] = silent
        for entry in range(indptr[token], indptr[token + 1]):
            label = label_of[indices[entry]]
            if label >= 0:
                out[token, label] = (values[entry] - shift[label]) * scale[label]
    return out


def fill_on_device(device: torch.device, indptr: np.ndarray, *arrays: np.ndarray) -> Float32[Tensor, "n n_live"]:
    """The same as `fill_on_cpu`, on any device."""
    tensors = (torch.from_numpy(np.array(each)).to(device) for each in (np.diff(indptr), *arrays))
    counts, indices, values, label_of, silent, shift, norm = tensors
    labels = label_of[indices.long()].long()
    live, tokens = labels >= 0, torch.repeat_interleave(counts)
    tokens, labels, values = tokens[live], labels[live], values[live]
    out = silent.repeat(len(counts), 1)
    out[tokens, labels] = ((values - shift[labels]) / norm[labels]).float()
    return out


def exact_correlations(
    a: Standardised,
    b: Standardised,
    label_a: Int64[np.ndarray, " n_pairs"],
    label_b: Int64[np.ndarray, " n_pairs"],
    pool: Executor,
    n_shares: int,
) -> Float64[np.ndarray, " n_pairs"]:
    """Pearson's r of each pair of labels, given by rising label of A: as the walk has it, to the last bit."""
    n_tokens, totals = a.acts.shape[0], np.zeros(len(label_a))
    size = max(1, _TRANSPOSED * n_tokens // max(1, a.acts.nnz, b.acts.nnz))
    bounds = np.linspace(0, len(label_a), n_shares + 1).astype(int).tolist()
    shares = [slice(*each) for each in pairwise(bounds)]
    for start in range(0, n_tokens, size):
        columns_a, columns_b = pool.map(lambda side, start=start: _columns(side, start, start + size), (a, b))

        def add(share: slice, columns_a: Columns = columns_a, columns_b: Columns = columns_b) -> None:
            _add_products(columns_a, columns_b, label_a[share], label_b[share], np.zeros(size), totals[share])

        list(pool.map(add, shares))
    return as_correlations(totals - a.mean_over_sd[a.labels[label_a]] * b.mean_over_sd[b.labels[label_b]])


def _columns(side: Standardised, start: int, stop: int) -> Columns:
    """The columns of all labels on a run of tokens."""
    arrays = (*_run(side, start, stop), side.centre[side.labels], side.norm[side.labels])
    return Columns(*_transpose(*arrays))


@compiled()
def _transpose(indptr, indices, values, label_of, centre, norm):  # type: ignore[no-untyped-def]
    starts = np.zeros(len(norm) + 1, dtype=np.int64)
    for entry in range(len(indices)):
        label = label_of[indices[entry]]
        if label >= 0:
            starts[label + 1] += 1
    starts = np.cumsum(starts)
    place = starts[:-1].copy()
    tokens, standardised = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1])
    for token in range(len(indptr) - 1):
        for entry in range(indptr[token], indptr[token + 1]):
            label = label_of[indices[entry]]
            if label >= 0:
                tokens[place[label]] = token
                standardised[place[label]] = (np.float64(values[entry]) - centre[label]) / norm[label]
                place[label] += 1
    return starts, tokens, standardised


@compiled()
def _add_products(
    columns_a: Columns,
    columns_b: Columns,
    label_a: Int64[np.ndarray, " n_pairs"],
    label_b: Int64[np.ndarray, " n_pairs"],
    dense: Float64[np.ndarray, " n_tokens"],
    totals: Float64[np.ndarray, " n_pairs"],
) -> None:
    """Add each pair's products to its total, tokens ascending; `dense` (all 0) holds the column of one label of A."""
    own = -1
    for pair in range(len(totals)):
        if label_a[pair] != own:
            if own >= 0:
                for entry in range(columns_a.indptr[own], columns_a.indptr[own + 1]):
                    dense[columns_a.tokens[entry]] = 0.0
            own = label_a[pair]
            for entry in range(columns_a.indptr[own], columns_a.indptr[own + 1]):
                dense[columns_a.tokens[entry]] = columns_a.values[entry]
        other, total = label_b[pair], totals[pair]
        for entry in range(columns_b.indptr[other], columns_b.indptr[other + 1]):
            total += dense[columns_b.tokens[entry]] * columns_b.values[entry]
        totals[pair] = total


def _best_of(
    features: Int64[np.ndarray, " n_pairs"],
    partners: Int64[np.ndarray, " n_pairs"],
    correlations: Float64[np.ndarray, " n_pairs"],
    d_sae: int,
    k: int,
) -> BestPartners:
    """The k best of the listed partners of each feature, ties to the lowest."""
    order = np.lexsort((partners, -correlations, features))
    features, partners, correlations = features[order], partners[order], correlations[order]
    place = np.arange(len(features)) - np.searchsorted(features, features)
    kept = place < k
    best = BestPartners.nobody(d_sae, k)
    best.indices[features[kept], place[kept]] = partners[kept]
    best.correlations[features[kept], place[kept]] = correlations[kept]
    return best
