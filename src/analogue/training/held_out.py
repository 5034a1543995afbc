"""The cross-entropy on held-out text that is recovered when SAEs' reconstructions replace a block's output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from analogue.models import ResidualStream, next_token_loss, recovered
from analogue.training.sae import SAEUnderTraining

SEQUENCES_PER_PASS = 4
Reconstruct = Callable[[Float[Tensor, "n_tokens d_model"]], Float[Tensor, "n_tokens d_model"]]


class HeldOutQuality(NamedTuple):
    """How good an SAE is on held-out text; the first four values are those of `analogue.saes.Quality`.

    Attributes:
        cross_entropy_recovered: see `analogue.models.recovered`.
    """

    explained_variance: float
    l0: float
    dead_fraction: float
    n_tokens: int
    cross_entropy_recovered: float


@dataclass(frozen=True, eq=False)
class HeldOutText:
    """A causal language model and the sequences on which its loss is measured.

    Attributes:
        ids: (n_sequences, seq_len) token ids.
        mask: False for padding.
        counted: tokens whose activations the SAEs replace; the others pass as they are.
    """

    model: ResidualStream
    ids: Int64[Tensor, "n_sequences seq_len"]
    mask: Bool[Tensor, "n_sequences seq_len"]
    counted: Bool[Tensor, "n_sequences seq_len"]

    @torch.no_grad()
    def recovered(self, saes: Mapping[str, SAEUnderTraining]) -> dict[str, float]:
        """Cross-entropy recovered by each SAE, by its name; see `analogue.models.recovered`."""
        of_model = self._loss()
        of_zero = {layer: self._loss(layer, torch.zeros_like) for layer in {each.layer for each in saes.values()}}
        return {
            name: recovered(of_model, self._loss(each.layer, _reconstruction(each)), of_zero[each.layer])
            for name, each in saes.items()
        }

    def _loss(self, layer: int = 0, reconstruct: Reconstruct | None = None) -> float:
        total = 0.0
        device = next(self.model.parameters()).device
        for some in torch.arange(len(self.ids)).split(SEQUENCES_PER_PASS):
            ids, mask, counted = (part[some].to(device) for part in (self.ids, self.mask, self.counted))

            def replace(resid: Tensor, counted: Tensor = counted) -> Tensor:
                assert reconstruct is not None
                replaced = resid.clone()
                replaced[counted] = reconstruct(resid[counted]).to(resid.dtype)
                return replaced

            block, hook = self.model.blocks[layer], replace if reconstruct else None
            total += float(next_token_loss(self.model.model, block, ids, mask, hook))
        return total


def _reconstruction(each: SAEUnderTraining) -> Reconstruct:
    weights = each.sae.W_dec
    return lambda resid: each.reconstruct(resid.to(weights.device, weights.dtype))[0].to(resid.device)
