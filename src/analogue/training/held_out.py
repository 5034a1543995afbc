"""The cross-entropy on held-out text that is recovered when SAEs' reconstructions replace what they have read."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from analogue.models import Reconstruct, loss_of_text, recovered
from analogue.training.sae import SAEUnderTraining
from analogue.training.source import ModelSource


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


@torch.no_grad()
def cross_entropy_recovered(text: ModelSource, saes: Mapping[str, SAEUnderTraining]) -> dict[str, float]:
    """Cross-entropy recovered by each SAE, by its name; see `analogue.models.recovered`.

    Args:
        text: a causal language model and its sequences; SAEs replace the activations of the tokens that it counts.
    """
    of_model = _loss(text)
    by_layer = {each.layer: each for each in saes.values()}  # its SAEs leave out the same outliers
    of_zero = {layer: _loss(text, layer, _replacement(each, torch.zeros_like)) for layer, each in by_layer.items()}
    return {
        name: recovered(of_model, _loss(text, each.layer, _reconstruction(each)), of_zero[each.layer])
        for name, each in saes.items()
    }


def _loss(text: ModelSource, layer: int = 0, reconstruct: Reconstruct | None = None) -> float:
    return loss_of_text(text.model, layer, text.ids, text.mask, text.counted, reconstruct)


def _reconstruction(each: SAEUnderTraining) -> Reconstruct:
    weights = each.sae.W_dec

    def reconstruct(resid: Tensor) -> Tensor:
        return each.reconstruct(resid.to(weights.device, weights.dtype))[0].to(resid.device)

    return _replacement(each, reconstruct)


def _replacement(each: SAEUnderTraining, replace: Reconstruct) -> Reconstruct:
    """Replace the tokens that the SAE is for; outliers stay as they are."""

    def replaced(resid: Float[Tensor, "n_tokens d_model"]) -> Float[Tensor, "n_tokens d_model"]:
        counted = each.is_counted(resid.to(each.largest_norm.device)).to(resid.device)
        return torch.where(counted.unsqueeze(-1), replace(resid), resid)

    return replaced
