"""Token batches for a Lightning trainer; each sequence goes to exactly one rank."""

from collections.abc import Sequence
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.utils.data import DataLoader

from analogue.corpus.tokens import TokenSequences


class TokenBatch(NamedTuple):
    """Some sequences of a `TokenSequences`, and their numbers in it; both models of a comparison may read them."""

    ids: Int64[Tensor, "batch seq_len"]
    mask: Bool[Tensor, "batch seq_len"]
    counted: Bool[Tensor, "batch seq_len"]
    sequence_index: Int64[Tensor, " batch"]


class TokenDataModule(L.LightningDataModule):
    """Serves streams of token sequences to `Trainer.test`, with one data loader for each stream.

    Rank r of R reads sequences r, r + R, r + 2R, ..., so that none is repeated or left out, whatever their number.
    The trainer needs `use_distributed_sampler=False`: Lightning's sampler repeats sequences to fill the last round.
    """

    def __init__(self, streams: Sequence[TokenSequences], batch_size: int) -> None:
        super().__init__()
        self.streams = streams
        self.batch_size = batch_size

    def test_dataloader(self) -> list[DataLoader[TokenBatch]]:
        return [self._loader(sequences) for sequences in self.streams]

    def _loader(self, sequences: TokenSequences) -> DataLoader[TokenBatch]:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        arrays = sequences.ids, sequences.mask, sequences.counted, np.arange(sequences.n_sequences)
        share = TokenBatch(*(torch.from_numpy(array)[rank::world_size] for array in arrays))
        single = [TokenBatch(*fields) for fields in zip(*share, strict=True)]
        return DataLoader(single, batch_size=self.batch_size)  # type: ignore[arg-type]
