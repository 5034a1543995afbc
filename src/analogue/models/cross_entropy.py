"""How well a language model predicts text when what is read of a block is replaced."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from analogue.models.residual_stream import ResidualStream, evaluation_mode
from analogue.models.sites import Replace, Tap

SEQUENCES_PER_PASS = 4
LOGITS_PER_PASS = 2**26  # 256 MiB in float32
Reconstruct = Callable[[Float[Tensor, "n_tokens width"]], Float[Tensor, "n_tokens width"]]
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


@torch.no_grad()
def loss_of_text(
    stream: ResidualStream,
    layer: int,
    ids: Int64[Tensor, "n_sequences seq_len"],
    mask: Bool[Tensor, "n_sequences seq_len"],
    counted: Bool[Tensor, "n_sequences seq_len"],
    reconstruct: Reconstruct | None = None,
) -> float:
    """Summed cross-entropy of a text's tokens, in nats, a few sequences at a time; see `next_token_loss`.

    Args:
        stream: a causal language model with its head; what its `hook` reads is replaced.
        layer: of whose block.
        ids: token ids, padded on the right.
        mask: False for padding.
        counted: the tokens whose activations are replaced.
        reconstruct: what takes the place of their activations; None to leave them as they are.
    """
    total = 0.0
    device = next(stream.parameters()).device
    config: Any = stream.model.config
    n_logits = ids.shape[1] * config.get_text_config().vocab_size
    for some in torch.arange(len(ids)).split(max(1, min(SEQUENCES_PER_PASS, LOGITS_PER_PASS // n_logits))):
        some_ids, some_mask, replaced = (part[some].to(device) for part in (ids, mask, counted))

        def replace(resid: Tensor, counted: Tensor = replaced) -> Tensor:
            assert reconstruct is not None
            changed = resid.clone()
            of_tokens = changed.view(*counted.shape, -1)  # experts put out one row of tokens
            of_tokens[counted] = reconstruct(of_tokens[counted]).to(resid.dtype)
            return changed

        tap = stream.tap(layer, stream.hook, some_ids, some_mask)
        total += float(next_token_loss(stream.model, tap, some_ids, some_mask, replace if reconstruct else None))
    return total


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
