"""A shuffled stream of residual-stream activations."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import IterableDataset

from analogue.training.mixing import MixingPlan, Refill

ActivationBatch = dict[int, Float[Tensor, "batch d_model"]]
"""By layer."""
ReadPass = Callable[[Int64[Tensor, " n_sequences"]], ActivationBatch]
"""Activations of the tokens of some sequences, one after the other; from a model, or from disk."""


class ActivationStream(IterableDataset[ActivationBatch]):
    """Serves the activations of a `MixingPlan` in batches, all layers from one model pass.

    Args:
        plan: which tokens come when.
        read: activations of the sequences of a pass.
        layers: the layers that `read` gives.
        n_batches: batches in all.

    Attributes:
        start: batches to leave out: those that training had before it was interrupted.
    """

    def __init__(self, plan: MixingPlan, read: ReadPass, layers: Sequence[int], n_batches: int) -> None:
        self.plan, self.read, self.layers, self.n_batches = plan, read, layers, n_batches
        self.start = 0

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[ActivationBatch]:
        served = 0
        tokens = torch.empty((0, 2), dtype=torch.int64)
        buffer: ActivationBatch | None = None
        for refill in self.plan.refills(self.n_batches):
            if served + refill.n_batches > self.start:
                buffer = self._refilled(self._recalled(tokens) if buffer is None else buffer, refill)
            tokens = torch.cat([tokens, *map(self.plan.tokens_of, refill.passes)])[refill.order]
            n_tokens = refill.n_batches * self.plan.batch_tokens
            if buffer is not None:
                for first in range(0, n_tokens, self.plan.batch_tokens):
                    if served + first // self.plan.batch_tokens >= self.start:
                        yield {layer: acts[first : first + self.plan.batch_tokens] for layer, acts in buffer.items()}
                buffer = {layer: acts[n_tokens:] for layer, acts in buffer.items()}
            tokens = tokens[n_tokens:]
            served += refill.n_batches

    def sample(self, n_batches: int) -> ActivationBatch:
        """The first batches of the stream, strung together; what is estimated before training is estimated on these."""
        plan = MixingPlan(self.plan.lengths, self.plan.batch_tokens, 0, self.plan.sequences_per_pass, self.plan.seed)
        batches = list(ActivationStream(plan, self.read, self.layers, n_batches))
        return {layer: torch.cat([batch[layer] for batch in batches]) for layer in self.layers}

    def _refilled(self, left_over: ActivationBatch, refill: Refill) -> ActivationBatch:
        parts = [left_over, *(self.read(self.plan.passes[number]) for number in refill.passes)]
        order = sent(refill.order, parts[-1][self.layers[0]].device)
        return {layer: torch.cat([part[layer] for part in parts if part])[order] for layer in self.layers}

    def _recalled(self, tokens: Int64[Tensor, "n_tokens 2"]) -> ActivationBatch:
        """What is left over in the buffer, from the very passes that it came from, so that no bit differs."""
        if not len(tokens):
            return {}
        numbers, rows = tokens.unbind(1)
        recalled: ActivationBatch = {}
        for number in numbers.unique().tolist():
            here = numbers == number
            for layer, acts in self.read(self.plan.passes[number]).items():
                into = recalled.setdefault(layer, acts.new_empty((len(tokens), acts.shape[1])))
                into[here] = acts[rows[here]]
        return recalled


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on a device; to a CUDA device from pinned memory, so that nobody waits for what is queued there."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
