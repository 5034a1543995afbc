"""The residual stream after a block, from any `transformers` model."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

Hook = Literal["resid_post", "resid_pre"]


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


class ResidualStream(nn.Module):
    """Runs a model up to the deepest block asked for and returns what its blocks put out (`resid_post`).

    A hook on block `layer` sees the stream before any final norm, for the last block too, where `hidden_states[-1]`
    of many architectures is taken after it. Logits are never computed.

    `resid_pre` is what the blocks take in: `hidden_states[layer]`, which the paper's published code reads.

    A model that is spread over devices is not `movable`: whoever moves the stream leaves it where it is.
    """

    def __init__(self, model: nn.Module, n_layers: int, hook: Hook = "resid_post", movable: bool = True) -> None:
        super().__init__()
        self.model = model
        self.hook = hook
        self.movable = movable
        self.blocks = [*find_blocks(model, n_layers)]  # a plain list: the modules already belong to `model`

    @torch.no_grad()
    def forward(
        self, ids: Int64[Tensor, "batch seq_len"], mask: Bool[Tensor, "batch seq_len"], layers: Sequence[int]
    ) -> dict[int, Float[Tensor, "batch seq_len d_model"]]:
        """The residual stream after each of `layers` (counted from 0)."""
        seen: dict[int, Tensor] = {}
        handles = [self._register(layer, seen, max(layers)) for layer in layers]
        try:
            self.model(input_ids=ids, attention_mask=mask.long(), use_cache=False)
        except _DeepestBlockReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return {layer: stream.to(ids.device) for layer, stream in seen.items()}

    def _apply(self, *arguments: Any, **named: Any) -> Self:
        return super()._apply(*arguments, **named) if self.movable else self

    def _register(self, layer: int, seen: dict[int, Tensor], deepest: int) -> RemovableHandle:
        def keep(stream: Any) -> None:
            seen[layer] = stream[0] if isinstance(stream, tuple) else stream
            if layer == deepest:
                raise _DeepestBlockReached

        block = self.blocks[layer]
        if self.hook == "resid_pre":
            read = lambda module, inputs, named: keep(inputs or named["hidden_states"])  # noqa: E731
            return block.register_forward_pre_hook(read, with_kwargs=True)
        return block.register_forward_hook(lambda module, inputs, output: keep(output))
