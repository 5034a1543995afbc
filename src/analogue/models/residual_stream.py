"""The residual stream at a block, from any `transformers` model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from analogue.options import Hook


class _DeepestBlockReached(Exception):
    """Ends a forward pass: no block further up is needed."""


def find_blocks(model: nn.Module, n_layers: int) -> nn.ModuleList:
    """The transformer blocks: the one list of `n_layers` modules, found by structure, not by name.

    Of a model that reads images, too, the text's part is searched.

    Raises:
        ValueError: no list of that length; the model is built in a way this function does not know.
    """
    text_model = model.get_decoder() if isinstance(model, PreTrainedModel) else model
    for module in text_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise ValueError(f"{type(model).__name__} holds no list of {n_layers} blocks whose outputs could be read")


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Run in evaluation mode (no dropout); afterwards each module is in the mode that it was in before."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class ResidualStream(nn.Module):
    """Runs a model up to the deepest block asked for and returns the residual stream there.

    `resid_post` is a block's output. A hook on block `layer` sees it before any final norm, for the last block too;
    `hidden_states[-1]` of many architectures is taken after that norm. Logits are never computed. `resid_pre` is a
    block's input: `hidden_states[layer]`, which the paper's published code reads.

    Args:
        model: of `transformers`.
        n_layers: its number of blocks.
        hook: `resid_post` or `resid_pre`.
        movable: False for a model that is spread over devices or belongs to the caller: moving this module, changing
            its precision or switching its mode then leaves the model as it is.
    """

    def __init__(self, model: nn.Module, n_layers: int, hook: str = Hook.resid_post, movable: bool = True) -> None:
        super().__init__()
        self.model = model
        self.hook = hook
        self.movable = movable
        self.blocks = [*find_blocks(model, n_layers)]  # a plain list: the modules already belong to `model`

    @torch.no_grad()
    def forward(
        self, ids: Int64[Tensor, "batch seq_len"], mask: Bool[Tensor, "batch seq_len"], layers: Sequence[int]
    ) -> dict[int, Float[Tensor, "batch seq_len d_model"]]:
        """The residual stream at each of `layers` (counted from 0), on the device of `ids`.

        The model may be on another device, and one that is not movable in training mode; it stays so.
        """
        seen: dict[int, Tensor] = {}
        handles = [self._register(layer, seen, max(layers)) for layer in layers]
        try:
            with nullcontext() if self.movable else evaluation_mode(self.model):
                self.model(input_ids=self._to_model(ids), attention_mask=self._to_model(mask.long()), use_cache=False)
        except _DeepestBlockReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return {layer: stream.to(ids.device) for layer, stream in seen.items()}

    def train(self, mode: bool = True) -> Self:
        """Switch the mode of a movable model."""
        return super().train(mode) if self.movable else self

    def _apply(self, *arguments: Any, **named: Any) -> Self:
        return super()._apply(*arguments, **named) if self.movable else self

    def _to_model(self, tensor: Tensor) -> Tensor:
        device = next(self.model.parameters()).device
        return tensor if device.type == "meta" else tensor.to(device)  # accelerate moves inputs of weights on disk

    def _register(self, layer: int, seen: dict[int, Tensor], deepest: int) -> RemovableHandle:
        def keep(stream: Any) -> None:
            seen[layer] = stream[0] if isinstance(stream, tuple) else stream
            if layer == deepest:
                raise _DeepestBlockReached

        block = self.blocks[layer]
        if self.hook == Hook.resid_pre:
            read = lambda module, inputs, named: keep(inputs or named["hidden_states"])  # noqa: E731
            return block.register_forward_pre_hook(read, with_kwargs=True)
        return block.register_forward_hook(lambda module, inputs, output: keep(output))
