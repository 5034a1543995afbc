"""How well a language model predicts text when what is read of a block is replaced."""

from contextlib import nullcontext

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from analogue.models.residual_stream import evaluation_mode
from analogue.models.sites import Replace, Tap

POSITIONS = 32  # whose logits are taken to float64 together


@torch.no_grad()
def next_token_loss(
    model: nn.Module,
    tap: Tap,
    ids: Int64[Tensor, "batch seq_len"],
    mask: Bool[Tensor, "batch seq_len"],
    replace: Replace | None = None,
) -> Float[Tensor, ""]:
    """Summed cross-entropy of every token that follows another, in nats, float64.

    Args:
        model: a causal language model of `transformers`, with its head.
        tap: what is replaced, see `ResidualStream.tap`; a block's output or input, or a site.
        ids: token ids, padded on the right.
        mask: False for padding, which is not predicted.
        replace: maps the activations there to what takes their place; None to leave them as they are.
    """

    with evaluation_mode(model), tap.replaced_by(replace) if replace else nullcontext():
        logits = model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
    targets = torch.where(mask[:, 1:], ids[:, 1:], -100)
    # Some positions at a time: in float64, all logits of a large vocabulary would take gigabytes.
    pairs = zip(logits[:, :-1].split(POSITIONS, 1), targets.split(POSITIONS, 1), strict=True)
    losses = [cross_entropy(some.flatten(0, 1).double(), of.flatten(), reduction="sum") for some, of in pairs]
    return torch.stack(losses).sum()


def recovered(of_model: float, of_reconstruction: float, of_zero: float) -> float:
    """Share of the loss between zero-ablation and the model itself that a reconstruction recovers.

    Args:
        of_model: cross-entropy of the model as it is.
        of_reconstruction: with the residual stream replaced by its reconstruction.
        of_zero: with the residual stream replaced by zeros.

    Returns:
        1 where the reconstruction is as good as the model, 0 where as bad as zeros, below 0 where worse; NaN where
        zeros do no harm.

    Source:
        Bricken et al. 2023, "Towards Monosemanticity"; Rajamanoharan et al. 2024, arXiv 2404.16014.
    """
    return (of_zero - of_reconstruction) / (of_zero - of_model) if of_zero != of_model else float("nan")
