"""A shuffled stream of residual-stream activations from a language model and a corpus."""

from collections.abc import Iterator, Sequence

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from analogue.corpus import TokenSequences
from analogue.models import ResidualStream

ActivationBatch = dict[int, Tensor]  # layer -> (batch, d_model)


class ActivationStream(IterableDataset[ActivationBatch]):
    """Runs the model over the corpus, again and again in new order, and serves its activations shuffled.

    A buffer of `buffer_tokens` tokens is filled, shuffled, half of it served, and filled up again, so that neighbours
    in a batch come from many documents. All layers come from one model pass. Padding is left out.
    """

    def __init__(
        self,
        sequences: TokenSequences,
        model: ResidualStream,
        layers: Sequence[int],
        n_tokens: int,
        batch_tokens: int,
        buffer_tokens: int,
        sequences_per_pass: int,
        seed: int,
    ) -> None:
        self.ids, self.mask = torch.from_numpy(sequences.ids), torch.from_numpy(sequences.mask)
        self.model = model
        self.layers = layers
        self.n_batches = n_tokens // batch_tokens
        self.batch_tokens = batch_tokens
        self.buffer_tokens = max(buffer_tokens, 2 * batch_tokens)
        self.sequences_per_pass = sequences_per_pass
        self.seed = seed

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[ActivationBatch]:
        generator = torch.Generator().manual_seed(self.seed)
        passes = self._passes(generator)
        pool: ActivationBatch = {}
        served = 0
        while served < self.n_batches:
            pool = self._shuffled(self._filled(pool, passes), generator)
            n_tokens = len(pool[self.layers[0]])
            n_serve = min(max(n_tokens // 2 // self.batch_tokens, 1), self.n_batches - served)
            for start in range(0, n_serve * self.batch_tokens, self.batch_tokens):
                yield {layer: acts[start : start + self.batch_tokens] for layer, acts in pool.items()}
            pool = {layer: acts[n_serve * self.batch_tokens :] for layer, acts in pool.items()}
            served += n_serve

    def _passes(self, generator: torch.Generator) -> Iterator[ActivationBatch]:
        device = next(self.model.parameters()).device
        while True:
            for chosen in torch.randperm(len(self.ids), generator=generator).split(self.sequences_per_pass):
                mask = self.mask[chosen].to(device)
                resid = self.model(self.ids[chosen].to(device), mask, self.layers)
                yield {layer: acts[mask] for layer, acts in resid.items()}

    def _filled(self, pool: ActivationBatch, passes: Iterator[ActivationBatch]) -> ActivationBatch:
        parts = [pool] if pool else []
        n_tokens = len(pool[self.layers[0]]) if pool else 0
        while n_tokens < self.buffer_tokens:
            parts.append(next(passes))
            n_tokens += len(parts[-1][self.layers[0]])
        return {layer: torch.cat([part[layer] for part in parts]) for layer in self.layers}

    def _shuffled(self, pool: ActivationBatch, generator: torch.Generator) -> ActivationBatch:
        order = torch.randperm(len(pool[self.layers[0]]), generator=generator)
        return {layer: acts[order.to(acts.device)] for layer, acts in pool.items()}


class ActivationDataModule(L.LightningDataModule):
    """Serves `ActivationStream`s: one for training, a shorter one of unseen text for validation."""

    def __init__(self, training: ActivationStream, validation: ActivationStream) -> None:
        super().__init__()
        self.training, self.validation = training, validation

    def train_dataloader(self) -> DataLoader[ActivationBatch]:
        self._move_model()
        return DataLoader(self.training, batch_size=None)

    def val_dataloader(self) -> DataLoader[ActivationBatch]:
        self._move_model()
        return DataLoader(self.validation, batch_size=None)

    def _move_model(self) -> None:
        if self.trainer is not None:
            self.training.model.to(self.trainer.strategy.root_device)
