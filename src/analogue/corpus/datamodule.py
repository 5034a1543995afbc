"""Token batches for a Lightning trainer; every rank gets its share of the sequences exactly once."""

from typing import NamedTuple

import lightning as L
import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from analogue.corpus.tokens import TokenSequences


class TokenBatch(NamedTuple):
    """Sequences that go to both models alike."""

    ids: Int64[Tensor, "batch seq_len"]
    mask: Bool[Tensor, "batch seq_len"]
    sequence_index: Int64[Tensor, " batch"]


class SequenceDataset(Dataset[TokenBatch]):
    """Single sequences as `TokenBatch`es without a batch axis."""

    def __init__(self, sequences: TokenSequences) -> None:
        self.ids = torch.from_numpy(sequences.ids)
        self.mask = torch.from_numpy(sequences.mask)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> TokenBatch:
        return TokenBatch(self.ids[index], self.mask[index], torch.tensor(index))


class TokenDataModule(L.LightningDataModule):
    """Serves token sequences to `Trainer.test`.

    Rank r of R reads sequences r, r + R, r + 2R, ...: none twice and none left out, whatever their number. (A
    distributed sampler would pad the last round by repeating sequences; the trainer must not add one.)
    """

    def __init__(self, sequences: TokenSequences, batch_size: int) -> None:
        super().__init__()
        self.sequences = sequences
        self.batch_size = batch_size

    def test_dataloader(self) -> DataLoader[TokenBatch]:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        share = range(rank, self.sequences.n_sequences, world_size)
        return DataLoader(Subset(SequenceDataset(self.sequences), share), batch_size=self.batch_size)
