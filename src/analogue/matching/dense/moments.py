"""Moments of dense activations in float64, and activations standardised by them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from analogue.matching.dense.ranks import Ranks
from analogue.matching.dense.stream import Stream, blocks


class Side(NamedTuple):
    """The features of one side that can correlate: those asked for, less constant ones."""

    features: Int64[Tensor, " n_live"]
    """Indices in the full numbering, ascending, none twice."""
    mean: Float64[Tensor, " n_live"]
    norm: Float64[Tensor, " n_live"]
    """Root of the summed squared deviations from the mean, above 0."""

    @property
    def n_live(self) -> int:
        """Number of features that have a correlation."""
        return len(self.features)

    def take(self, labels: slice | Tensor) -> "Side":
        """Only these of the features."""
        return Side(*(column[labels] for column in self))


class Moments(NamedTuple):
    """What Pearson's r takes from each of d features."""

    mean: Float64[Tensor, " d"]
    norm: Float64[Tensor, " d"]
    """Exactly 0 where the feature is constant."""


class _Sums(NamedTuple):
    """Sums of deviations from the first token.

    From there a constant feature's deviations are exactly 0, and no mean, however large, costs digits: the first
    token lies within sqrt(n) standard deviations of the mean, so the variance loses at most a factor n of 2^53.
    """

    shift: Float64[Tensor, " d"]
    total: Float64[Tensor, " d"]
    squares: Float64[Tensor, " d"]

    @classmethod
    def about(cls, shift: Float[Tensor, " d"]) -> "_Sums":
        shift = shift.double()
        return cls(shift, torch.zeros_like(shift), torch.zeros_like(shift))

    def add(self, acts: Float[Tensor, "n_chunk d"]) -> None:
        for part in blocks(acts):
            deviation = part - self.shift
            self.total.add_(deviation.sum(0))
            self.squares.add_(deviation.square_().sum(0))

    def merged(self, ranks: Ranks, counts: Sequence[int]) -> "_Sums":
        """Those of all ranks, which have these counts of tokens, from the first token of the first that has one."""
        if ranks.size == 1:
            return self
        shift = ranks.gather(self.shift[None])[np.flatnonzero(counts)[0]][0]
        n_tokens, moved = counts[ranks.rank], self.shift - shift
        squares = self.squares + moved * (2 * self.total + n_tokens * moved)
        return _Sums(shift, ranks.sum(self.total + n_tokens * moved), ranks.sum(squares))

    def moments(self, n_tokens: int) -> Moments:
        varies = self.squares > 0
        norm = (self.squares - self.total.square() / n_tokens).clamp_(min=0).sqrt_()
        return Moments(self.shift + self.total / n_tokens, torch.where(varies, norm, 0.0))


def dense_moments(stream: Stream) -> tuple[Moments, Moments, tuple[int, ...]]:
    """Moments of both sides over the tokens of all ranks, and each rank's number of tokens, in one pass.

    Raises:
        ValueError: on every rank, if none has a token, their widths differ, or an activation is not finite.
    """
    sums: Sequence[_Sums] = ()
    n_tokens = 0
    for chunk in stream:
        sums = sums or [_Sums.about(acts[0]) for acts in chunk]
        for side, acts in zip(sums, chunk, strict=True):
            side.add(acts)
        n_tokens += len(chunk[0])
    counts, widths = _agreed(stream, n_tokens, [len(side.shift) for side in sums])
    sums = sums or [_Sums.about(torch.zeros(width, device=stream.device)) for width in widths]
    sums = [side.merged(stream.ranks, counts) for side in sums]
    for name, side in zip("AB", sums, strict=True):
        n_bad = int((~torch.isfinite(side.squares)).sum())
        if n_bad:
            raise ValueError(f"expected finite activations, got NaN or infinite ones in {n_bad} features of {name}")
    moments_a, moments_b = (side.moments(sum(counts)) for side in sums)
    return moments_a, moments_b, counts


def live_side(moments: Moments, subset: Int64[Tensor, " n"] | None) -> Side:
    """The features with variance, of `subset` if given."""
    wanted = moments.norm > 0
    if subset is not None:
        wanted &= torch.zeros_like(wanted).index_fill_(0, subset.to(wanted.device), True)
    features = wanted.nonzero().squeeze(1)
    return Side(features, moments.mean[features], moments.norm[features])


def columns(acts: Float[Tensor, "n_chunk d"], features: Int64[Tensor, " n"]) -> Float[Tensor, "n_chunk n"]:
    """Columns of a chunk, without a copy where they stand side by side."""
    n = len(features)
    if n and int(features[-1] - features[0]) == n - 1 and bool((features.diff() == 1).all()):
        return acts[:, int(features[0]) : int(features[0]) + n]
    return acts.index_select(1, features)


def standardised(acts: Float[Tensor, "n_chunk d"], side: Side, dtype: torch.dtype) -> Float[Tensor, "n_chunk n_live"]:
    """Activations less their mean, over their norm: the products of two sides sum to their correlations.

    In float32 the mean is subtracted in two parts: rounded to one, a mean of 10^6 standard deviations would shift the
    activations by up to 0.06 of one.
    """
    acts = columns(acts, side.features)
    out = torch.empty(acts.shape, dtype=dtype, device=acts.device)
    high = side.mean.float()
    low, scale = (side.mean - high).float(), (1 / side.norm).float()
    in_double = torch.float64 in (acts.dtype, dtype)
    for part, into in zip(blocks(acts), blocks(out), strict=True):
        if in_double:
            into.copy_((part - side.mean).div_(side.norm))
        else:
            into.copy_((part - high).sub_(low).mul_(scale))
    return out


def _agreed(stream: Stream, n_tokens: int, widths: list[int]) -> tuple[tuple[int, ...], list[int]]:
    """Tokens of each rank, and the widths of both sides; a rank without tokens takes the others'."""
    own = torch.tensor([[n_tokens, *(widths or (0, 0))]], device=stream.device)
    found = stream.ranks.concatenate(own).tolist()
    widths_found = sorted({(d_a, d_b) for n, d_a, d_b in found if n})
    if not widths_found:
        raise ValueError("expected at least one token, got none")
    if len(widths_found) > 1:
        raise ValueError(f"expected the same widths on every rank, got {widths_found}")
    return tuple(n for n, _, _ in found), list(widths_found[0])
