"""The next batch on a CUDA device while a step runs."""

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset

from analogue.training.activations import ActivationBatch, ActivationStream


class Prefetched(IterableDataset[ActivationBatch]):
    """Computes the batches of a stream one ahead, on a side stream of the device.

    Args:
        source: whose model is on `device`.
        device: a CUDA device; on any other the batches pass through.
    """

    def __init__(self, source: ActivationStream, device: torch.device) -> None:
        self.source, self.device = source, device

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[ActivationBatch]:
        if self.device.type != "cuda":
            yield from self.source
            return
        side = torch.cuda.Stream(self.device)
        batches = iter(self.source)
        ahead = self._next(batches, side)
        while ahead is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(side)
            batch = ahead
            for acts in batch.values():
                acts.record_stream(current)  # its memory must not be reused while the step reads it
            ahead = self._next(batches, side)
            yield batch

    def _next(self, batches: Iterator[ActivationBatch], side: torch.cuda.Stream) -> ActivationBatch | None:
        with torch.cuda.stream(side):
            batch = next(batches, None)
            return None if batch is None else {layer: acts.to(self.device) for layer, acts in batch.items()}
