"""A shuffled stream of residual-stream activations: the order in which tokens come, and their activations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import IterableDataset

from analogue.training.source import ActivationBatch, ActivationSource, to_device


@dataclass(frozen=True)
class Refill:
    """One filling of the buffer.

    Attributes:
        passes: numbers of the model passes whose tokens are added to what is left over.
        order: how what is left over and the added tokens, strung together, are shuffled.
        n_batches: batches served from the front of the buffer before the next refill.
    """

    passes: range
    order: Int64[Tensor, " n_tokens"]
    n_batches: int


@dataclass(eq=False)
class MixingPlan:
    """Everything about the stream except the activations: it is cheap to replay, which makes resuming cheap.

    The corpus is read over and over, each time in a new order, `sequences_per_pass` sequences per model pass. A refill
    adds passes until the buffer holds `buffer_tokens`, shuffles it, and serves half. The last one adds no more passes
    than are needed, and serves all.

    Attributes:
        lengths: tokens that each sequence gives.
        batch_tokens: tokens per batch.
        buffer_tokens: tokens in the buffer after a refill; two batches if that is more.
        sequences_per_pass: sequences that the model reads at once.
        seed: of all orders.
    """

    lengths: Int64[Tensor, " n_sequences"]
    batch_tokens: int
    buffer_tokens: int
    sequences_per_pass: int
    seed: int

    def __post_init__(self) -> None:
        self.buffer_tokens = max(self.buffer_tokens, 2 * self.batch_tokens)
        self.passes: list[Int64[Tensor, " n"]] = []

    def refills(self, n_batches: int) -> Iterator[Refill]:
        """The refills that serve `n_batches` in all; sequences of the passes they name are in `passes` by then."""
        generator = torch.Generator().manual_seed(self.seed)
        corpus = self._corpus_order()
        self.passes = []
        served, left_over = 0, 0
        while served < n_batches:
            first, n_tokens = len(self.passes), left_over
            needed = (n_batches - served) * self.batch_tokens
            while n_tokens < min(self.buffer_tokens, needed):
                self.passes.append(next(corpus))
                n_tokens += int(self.lengths[self.passes[-1]].sum())
            order = torch.randperm(n_tokens, generator=generator)
            is_last = n_tokens >= needed
            n_served = n_batches - served if is_last else max(n_tokens // 2 // self.batch_tokens, 1)
            yield Refill(range(first, len(self.passes)), order, n_served)
            served += n_served
            left_over = n_tokens - n_served * self.batch_tokens

    def tokens_of(self, number: int) -> Int64[Tensor, "n_tokens 2"]:
        """Name the tokens of a pass: its number, and their places in it."""
        n_tokens = int(self.lengths[self.passes[number]].sum())
        return torch.stack([torch.full((n_tokens,), number), torch.arange(n_tokens)], dim=1)

    def _corpus_order(self) -> Iterator[Int64[Tensor, " n"]]:
        # A generator of its own: how many passes a refill takes must not decide how the next one is shuffled.
        generator = torch.Generator().manual_seed(self.seed + 1)
        while True:
            yield from torch.randperm(len(self.lengths), generator=generator).split(self.sequences_per_pass)


class ActivationStream(IterableDataset[ActivationBatch]):
    """Serves the activations of a `MixingPlan` in batches, all layers from one model pass.

    Args:
        plan: which tokens come when.
        source: activations of the sequences of a pass.
        layers: the layers that `source` gives.
        n_batches: batches in all.

    Attributes:
        start: batches to leave out: those that training had before it was interrupted.
    """

    def __init__(self, plan: MixingPlan, source: ActivationSource, layers: Sequence[int], n_batches: int) -> None:
        self.plan, self.source, self.layers, self.n_batches = plan, source, layers, n_batches
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
        """The first batches of a stream without a buffer, strung together; input scales are estimated on them."""
        batches = list(ActivationStream(replace(self.plan, buffer_tokens=0), self.source, self.layers, n_batches))
        return {layer: torch.cat([batch[layer] for batch in batches]) for layer in self.layers}

    def _refilled(self, left_over: ActivationBatch, refill: Refill) -> ActivationBatch:
        parts = [left_over, *(self.source(self.plan.passes[number]) for number in refill.passes)]
        order = to_device(refill.order, parts[-1][self.layers[0]].device)
        return {layer: torch.cat([part[layer] for part in parts if part])[order] for layer in self.layers}

    def _recalled(self, tokens: Int64[Tensor, "n_tokens 2"]) -> ActivationBatch:
        """What is left over in the buffer, from the very passes that it came from, so that no bit differs."""
        if not len(tokens):
            return {}
        numbers, rows = tokens.unbind(1)
        recalled: ActivationBatch = {}
        for number in numbers.unique().tolist():
            here = numbers == number
            for layer, acts in self.source(self.plan.passes[number]).items():
                into = recalled.setdefault(layer, acts.new_empty((len(tokens), acts.shape[1])))
                into[here] = acts[rows[here]]
        return recalled
