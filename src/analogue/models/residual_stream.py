"""The residual stream at a block, from any `transformers` model."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from analogue.errors import InvalidArgument
from analogue.models.sites import MissingSiteError, Sublayers, Tap, copied, find_sublayers, recorded_calls
from analogue.options import Hook

TERMS = (Hook.attn_out, Hook.mlp_out)


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
    """Runs a model up to the deepest block asked for and returns what is read there: the residual stream, or a site.

    `resid_post` is a block's output. A hook on block `layer` sees it before any final norm, for the last block too;
    `hidden_states[-1]` of many architectures is taken after that norm. Logits are never computed. `resid_pre` is a
    block's input: `hidden_states[layer]`, which the paper's published code reads. The other sites are looked for in the
    first pass, on its first few tokens; `analogue.models.sites` says what they are.

    Args:
        model: of `transformers`.
        n_layers: its number of blocks.
        hook: a member of `Hook`.
        movable: False for a model that is spread over devices or belongs to the caller: moving this module, changing
            its precision or switching its mode then leaves the model as it is.
    """

    def __init__(self, model: nn.Module, n_layers: int, hook: str = Hook.resid_post, movable: bool = True) -> None:
        super().__init__()
        self.model = model
        self.hook = hook
        self.movable = movable
        self.blocks = [*find_blocks(model, n_layers)]  # a plain list: the modules already belong to `model`
        self._sublayers: dict[int, Sublayers] = {}

    @torch.no_grad()
    def forward(
        self, ids: Int64[Tensor, "batch seq_len"], mask: Bool[Tensor, "batch seq_len"], layers: Sequence[int]
    ) -> dict[int, Float[Tensor, "batch seq_len width"]]:
        """What `hook` reads at each of `layers` (counted from 0), on the device of `ids`.

        The model may be on another device, and one that is not movable in training mode; it stays so.

        Raises:
            InvalidArgument: `hook` is no site of a block, or the blocks put out something else than one vector for
                each token.
        """
        read = self.read(ids, mask, [(layer, self.hook) for layer in layers])
        return {layer: acts for (layer, _), acts in read.items()}

    @torch.no_grad()
    def read(
        self, ids: Int64[Tensor, "batch seq_len"], mask: Bool[Tensor, "batch seq_len"], sites: Sequence[tuple[int, str]]
    ) -> dict[tuple[int, str], Float[Tensor, "batch seq_len width"]]:
        """Several sites in one pass, by layer and hook; see `forward`."""
        taps = {site: self.tap(*site, ids, mask) for site in sites}
        seen: dict[tuple[int, str], Tensor] = {}

        def keep(site: tuple[int, str], acts: Tensor) -> None:
            seen[site] = acts.clone() if site[1] in TERMS else acts  # some blocks add to them in place
            if len(seen) == len(taps):
                raise _DeepestBlockReached

        self._run(ids, mask, [tap.register(partial(keep, site)) for site, tap in taps.items()])
        return {site: _one_vector_per_token(acts, ids, site[1]).to(ids.device) for site, acts in seen.items()}

    @torch.no_grad()
    def tap(
        self, layer: int, hook: str, ids: Int64[Tensor, "batch seq_len"], mask: Bool[Tensor, "batch seq_len"]
    ) -> Tap:
        """Where a site is seen; a pass over a few of the tokens shows it.

        Raises:
            InvalidArgument: as `forward`.
        """
        if hook in (Hook.resid_pre, Hook.resid_post):
            return Tap(self.blocks[layer], reads_input=hook == Hook.resid_pre)
        try:
            if layer not in self._sublayers:
                self._sublayers[layer] = self._find_sublayers(layer, hook, ids[:2, :8], mask[:2, :8])
            return self._sublayers[layer].tap(hook)
        except MissingSiteError as error:
            problem = f"is no site of block {layer}: {type(self.blocks[layer]).__name__} {error}"
            raise InvalidArgument("hook", hook, f"{problem}; resid_pre and resid_post can be read") from error

    def output_rows(self, layer: int) -> Float[Tensor, "d_mlp d_model"]:
        """The rows of the MLP's output projection: what each neuron adds to the MLP's output where it is 1.

        Raises:
            InvalidArgument: the block has no `neurons`, or its matrix is stored in a form that cannot be read.
        """
        ids = torch.arange(8).reshape(1, 8)
        matrix = self.tap(layer, Hook.neurons, ids, ids >= 0).module
        rows = matrix.weight.T if isinstance(matrix, nn.Linear) else matrix.weight
        if not (isinstance(rows, Tensor) and rows.is_floating_point()):
            problem = f"has no output projection that can be read in block {layer}: {type(matrix).__name__}"
            raise InvalidArgument("hook", Hook.neurons, f"{problem}; load the model without quantisation")
        return rows.detach()

    def train(self, mode: bool = True) -> Self:
        """Switch the mode of a movable model."""
        return super().train(mode) if self.movable else self

    def _apply(self, *arguments: Any, **named: Any) -> Self:
        return super()._apply(*arguments, **named) if self.movable else self

    def _to_model(self, tensor: Tensor) -> Tensor:
        device = next(self.model.parameters()).device
        return tensor if device.type == "meta" else tensor.to(device)  # accelerate moves inputs of weights on disk

    def _run(self, ids: Tensor, mask: Tensor, handles: list[RemovableHandle]) -> None:
        """A pass of the model, after which the hooks are removed."""
        try:
            with self._evaluating():
                self.model(input_ids=self._to_model(ids), attention_mask=self._to_model(mask.long()), use_cache=False)
        except _DeepestBlockReached:
            pass
        finally:
            for handle in handles:
                handle.remove()

    def _find_sublayers(self, layer: int, hook: str, ids: Tensor, mask: Tensor) -> Sublayers:
        block = self.blocks[layer]
        seen: dict[Hook, Tensor] = {}

        def keep(end: Hook, acts: Tensor) -> None:
            seen[end] = copied(acts)
            if end == Hook.resid_post:
                raise _DeepestBlockReached

        ends = (Hook.resid_pre, Hook.resid_post)
        with recorded_calls(block) as calls:
            self._run(ids, mask, [self.tap(layer, end, ids, mask).register(partial(keep, end)) for end in ends])
        before, after = (_one_vector_per_token(seen[end], ids, hook) for end in ends)
        with self._evaluating():
            return find_sublayers(before, after, calls)

    def _evaluating(self) -> AbstractContextManager[None]:
        return nullcontext() if self.movable else evaluation_mode(self.model)


def _one_vector_per_token(acts: Tensor, ids: Tensor, hook: str) -> Float[Tensor, "batch seq_len width"]:
    """Activations with the axes of the ids, of which experts make one."""
    if acts.ndim == 2 and len(acts) == ids.numel():
        acts = acts.reshape(*ids.shape, -1)
    if acts.ndim != 3 or acts.shape[:2] != ids.shape:
        problem = f"has the shape {tuple(acts.shape)} where {tuple(ids.shape)} tokens (sequences, tokens) are read"
        raise InvalidArgument("hook", hook, f"{problem}; only models with one vector for each token can be compared")
    return acts
