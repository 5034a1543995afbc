"""Sums over processes that each read a share of the tokens, and lists that they make together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

# Rows that a sum over ranks sends at a time: each rank holds as many from every other.
_ROWS = 2**24


@dataclass(frozen=True)
class Ranks:
    """The processes of a group; without one a single process, which sends nothing.

    Every method is a collective: all ranks call it, one call after the other, with tensors of one dtype.

    Attributes:
        group: of any backend that reaches the device of the tensors: gloo, or NCCL on CUDA devices.
    """

    group: "ProcessGroup | None" = None

    @property
    def size(self) -> int:
        """Number of ranks."""
        return 1 if self.group is None else dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """This process's place among them, from 0."""
        return 0 if self.group is None else dist.get_rank(self.group)

    def gather(self, own: Shaped[Tensor, "n ..."]) -> list[Shaped[Tensor, "n_of_rank ..."]]:
        """Every rank's rows, in order of rank; ranks may have different numbers of them, or none."""
        if self.size == 1:
            return [own]
        counts = [int(n) for n in self._all(torch.tensor([len(own)], device=own.device))]
        padded = own.new_zeros(max(counts), *own.shape[1:])  # collectives want equal shapes
        padded[: len(own)] = own
        return [rows[:n] for rows, n in zip(self._all(padded), counts, strict=True)]

    def concatenate(self, own: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "n_total ..."]:
        """The rows of all ranks, one rank's after the other's."""
        return own if self.size == 1 else torch.cat(self.gather(own))

    def sum(self, own: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "n ..."]:
        """What all ranks have, added up; equal to the last bit on every rank.

        An all-reduce adds the ranks in an order that depends on where in the tensor an element lies, and equal features
        would get sums that are not. Here the order is that of the ranks, for every element.
        """
        if self.size == 1:
            return own
        total = torch.zeros_like(own)
        for part, into in zip(own.split(_ROWS), total.split(_ROWS), strict=True):
            for other in self._all(part):
                into += other
        return total

    def sum_rows(self, own: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n_share d"], int]:
        """This rank's share of the rows of the sum, and the first row's place (a reduce-scatter by rows).

        Shares are consecutive runs of ceil(n / size) rows; the last ones may be shorter, or empty.
        """
        if self.size == 1:
            return own, 0
        share = -(-len(own) // self.size)
        n_padding = share * self.size - len(own)
        padded = torch.cat([own, own.new_zeros(n_padding, own.shape[1])]) if n_padding else own
        rows = own.new_empty(share, own.shape[1])
        # Newer torch warns of the old name. Under either, gloo has it for float32 and float64, by way of an all-reduce.
        reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        reduce_scatter(rows, padded, group=self.group)
        first = min(self.rank * share, len(own))
        return rows[: len(own) - first], first

    def _all(self, own: Tensor) -> list[Tensor]:
        """A tensor of one shape from every rank."""
        found = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(self.size)]
        if own.numel():  # empty on all ranks or on none
            dist.all_gather(found, own.contiguous(), group=self.group)
        return found


ALONE = Ranks()
