"""Dense activations of two sides, in chunks of tokens, read as often as a result needs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from analogue.matching.dense.ranks import ALONE, Ranks

Chunk = tuple[Tensor, Tensor]
# Elements that one elementwise step handles: on a CPU its float64 intermediates should stay in the cache.
_BLOCK_CPU, _BLOCK_DEVICE = 2**18, 2**24


@dataclass(frozen=True, eq=False)
class TokenChunks:
    """Two arrays cut into chunks of tokens, to be iterated over any number of times.

    Attributes:
        acts_a: (n_tokens, d_a) tensor, array or memory map of a floating dtype.
        acts_b: (n_tokens, d_b) likewise, on the same tokens.
        size: tokens a chunk. A chunk of both sides must fit in memory, twice.

    Raises:
        ValueError: if the sides are not 2-D, differ in n_tokens, or `size` is below 1.
    """

    acts_a: Tensor | np.ndarray
    acts_b: Tensor | np.ndarray
    size: int = 4096

    def __post_init__(self) -> None:
        if self.acts_a.ndim != 2 or self.acts_b.ndim != 2 or len(self.acts_a) != len(self.acts_b):
            shapes = tuple(self.acts_a.shape), tuple(self.acts_b.shape)
            raise ValueError(f"expected two arrays (n_tokens, d) on the same tokens, got shapes {shapes}")
        if self.size < 1:
            raise ValueError(f"expected size >= 1, got {self.size}")

    def __iter__(self) -> Iterator[Chunk]:
        for start in range(0, len(self.acts_a), self.size):
            tokens = slice(start, start + self.size)
            yield _as_tensor(self.acts_a[tokens]), _as_tensor(self.acts_b[tokens])


@dataclass(frozen=True, eq=False)
class Stream:
    """Chunks on a device, checked on every pass.

    Attributes:
        chunks: pairs of tensors (n_chunk, d_a) and (n_chunk, d_b), the same ones on every pass.
        device: where the arithmetic happens.
        ranks: the processes that read the tokens together, `chunks` being this one's share of them.
        counts: tokens of each rank, its own of which every pass must give; None before the first.
        is_swapped: yield B first.

    Raises:
        ValueError: if `chunks` can be iterated over only once; while reading, if two chunks differ in width, the two
            sides of one in tokens, a dtype is not floating, or a pass gives another number of tokens.
    """

    chunks: Iterable[Chunk]
    device: torch.device
    ranks: Ranks = ALONE
    counts: tuple[int, ...] | None = None
    is_swapped: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.chunks, Iterator):
            raise ValueError("expected chunks to iterate over more than once (a list, a TokenChunks), got an iterator")

    def swapped(self) -> "Stream":
        """The same tokens with the sides exchanged."""
        return replace(self, is_swapped=not self.is_swapped)

    @property
    def n_terms(self) -> int:
        """Terms that add up to a correlation: the tokens of all ranks, and the ranks' sums beyond the first."""
        assert self.counts is not None
        return sum(self.counts) + self.ranks.size - 1

    def __iter__(self) -> Iterator[Chunk]:
        n_read, widths = 0, None
        for acts_a, acts_b in self.chunks:
            widths = _check(acts_a, acts_b, widths)
            n_read += len(acts_a)
            a, b = acts_a.detach().to(self.device), acts_b.detach().to(self.device)
            if len(a):
                yield (b, a) if self.is_swapped else (a, b)
        expected = n_read if self.counts is None else self.counts[self.ranks.rank]
        if n_read != expected:
            raise ValueError(f"expected the same {expected} tokens on every pass, got {n_read}")


def blocks(acts: Float[Tensor, "n_chunk d"]) -> tuple[Tensor, ...]:
    """Cut a chunk into runs of tokens small enough for elementwise work."""
    n_elements = _BLOCK_CPU if acts.device.type == "cpu" else _BLOCK_DEVICE
    return acts.split(max(1, n_elements // max(1, acts.shape[1])))


def _check(acts_a: Tensor, acts_b: Tensor, widths: tuple[int, int] | None) -> tuple[int, int]:
    if acts_a.ndim != 2 or acts_b.ndim != 2 or len(acts_a) != len(acts_b):
        shapes = tuple(acts_a.shape), tuple(acts_b.shape)
        raise ValueError(f"expected chunks (n_chunk, d_a) and (n_chunk, d_b) on the same tokens, got shapes {shapes}")
    if not (acts_a.is_floating_point() and acts_b.is_floating_point()):
        raise ValueError(f"expected floating dtypes, got {acts_a.dtype} and {acts_b.dtype}")
    found = acts_a.shape[1], acts_b.shape[1]
    if widths not in (None, found):
        raise ValueError(f"expected chunks of widths {widths}, got {found}")
    return found


def _as_tensor(acts: Tensor | np.ndarray) -> Tensor:
    if isinstance(acts, Tensor):
        return acts
    return torch.from_numpy(acts if acts.flags.writeable else acts.copy())
