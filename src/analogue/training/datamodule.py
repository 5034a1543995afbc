"""The activation streams of a training run, on every rank."""

from collections.abc import Callable
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from analogue.errors import UserError
from analogue.training.activations import ActivationBatch, ActivationStream
from analogue.training.held_out import HeldOutText
from analogue.training.prefetch import Prefetched

OpenStream = Callable[[int, int], ActivationStream]
"""From a rank and the number of ranks to its share of a stream."""


class ActivationDataModule(L.LightningDataModule):
    """Serves two streams: one for training, a shorter one of unseen text for evaluation.

    A checkpoint of it is the number of batches that training has had.

    Args:
        open_training: each rank's share of the training stream.
        open_evaluation: each rank's share of the evaluation stream.
        held_out: text on which the language model's loss is measured.

    Attributes:
        training: after `setup`, this rank's share.
    """

    def __init__(self, open_training: OpenStream, open_evaluation: OpenStream, held_out: HeldOutText) -> None:
        super().__init__()
        self.open_training, self.open_evaluation = open_training, open_evaluation
        self.held_out = held_out
        self._start = 0

    def setup(self, stage: str) -> None:
        trainer: Any = self.trainer
        self.held_out.model.to(trainer.strategy.root_device)
        share = trainer.global_rank, trainer.world_size
        self.training, self.evaluation = self.open_training(*share), self.open_evaluation(*share)

    def train_dataloader(self) -> DataLoader[ActivationBatch]:
        trainer: Any = self.trainer
        self.training.start = self._start
        return DataLoader(Prefetched(self.training, trainer.strategy.root_device), batch_size=None)

    def val_dataloader(self) -> DataLoader[ActivationBatch]:
        return DataLoader(self.evaluation, batch_size=None)

    def state_dict(self) -> dict[str, int]:
        trainer: Any = self.trainer
        return {"n_batches": trainer.global_step}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._start = state_dict["n_batches"]


def share_of(n_tokens_a_batch: int, n_ranks: int) -> int:
    """Tokens of a batch that each rank serves.

    Raises:
        UserError: they cannot be shared out evenly, and then the ranks' mean gradient is not that of the batch.
    """
    if n_tokens_a_batch % n_ranks:
        problem = f"does not divide by the {n_ranks} ranks; choose a multiple of {n_ranks}"
        raise UserError("batch_tokens", n_tokens_a_batch, problem)
    return n_tokens_a_batch // n_ranks
