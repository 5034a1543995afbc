"""The order in which training meets tokens: model passes, mixed across documents in a buffer, all from one seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor


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


class MixingPlan:
    """Everything about the stream but the activations: cheap to go through again, and so to resume from.

    The corpus is read over and over, each time in a new order, `sequences_per_pass` sequences a model pass. A refill
    adds passes until the buffer holds `buffer_tokens`, shuffles it, and serves half.

    Args:
        lengths: (n_sequences,) tokens that each sequence gives.
        batch_tokens: tokens a batch.
        buffer_tokens: tokens in the buffer after a refill, at least two batches.
        sequences_per_pass: sequences that the model reads at once.
        seed: of all orders.
    """

    def __init__(
        self,
        lengths: Int64[Tensor, " n_sequences"],
        batch_tokens: int,
        buffer_tokens: int,
        sequences_per_pass: int,
        seed: int,
    ) -> None:
        self.lengths = lengths
        self.batch_tokens = batch_tokens
        self.buffer_tokens = max(buffer_tokens, 2 * batch_tokens)
        self.sequences_per_pass = sequences_per_pass
        self.seed = seed
        self.passes: list[Int64[Tensor, " n"]] = []

    def refills(self, n_batches: int) -> Iterator[Refill]:
        """The refills that serve `n_batches` in all; sequences of the passes they name are in `passes` by then."""
        generator = torch.Generator().manual_seed(self.seed)
        corpus = self._corpus_order()
        self.passes = []
        served, left_over = 0, 0
        while served < n_batches:
            first, n_tokens = len(self.passes), left_over
            while n_tokens < self.buffer_tokens:
                self.passes.append(next(corpus))
                n_tokens += int(self.lengths[self.passes[-1]].sum())
            order = torch.randperm(n_tokens, generator=generator)
            n_served = min(max(n_tokens // 2 // self.batch_tokens, 1), n_batches - served)
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
