"""One training step of a TopK SAE that touches k decoder rows a token, where SAELens multiplies all d_sae of them."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE
from torch import Tensor
from torch.nn.functional import embedding_bag

from analogue.training.quick import is_plain

Rows = Float[Tensor, "batch d_in"]


def can_step_sparsely(sae: Any) -> bool:
    """Whether `topk_step` stands in for this SAE's own forward pass: TopK in float32, not autocast."""
    return is_plain(sae, TopKTrainingSAE)


def topk_step(sae: TopKTrainingSAE, step: TrainStepInput) -> TrainStepOutput:
    """What `sae.training_forward_pass(step)` computes, losses and gradients, without its products by zeros.

    `feature_acts` and `hidden_pre` carry no gradient of their own here: all of it flows through `loss`.
    """
    norm = sae.W_dec.detach().norm(dim=-1) if sae.cfg.rescale_acts_by_decoder_norm else None
    with torch.no_grad():
        centred = step.sae_in - sae.b_dec if sae.cfg.apply_b_dec_to_input else step.sae_in
        hidden_pre = torch.addmm(sae.b_enc, centred, sae.W_enc)
        ranked = hidden_pre if norm is None else hidden_pre * norm
        indices = ranked.topk(sae.cfg.k, dim=-1, sorted=False).indices
        active = hidden_pre.gather(1, indices).relu_()
        feature_acts = torch.zeros_like(ranked).scatter_(1, indices, active if norm is None else active * norm[indices])
    sae_out = _ActiveRows.apply(centred, sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, indices, active, sae.cfg)
    mse_loss = (sae_out - step.sae_in).square().sum(-1).mean()
    auxiliary = _auxiliary_loss(sae, step, sae_out.detach(), norm)
    return TrainStepOutput(
        sae_in=step.sae_in,
        sae_out=sae_out,
        feature_acts=feature_acts,
        hidden_pre=ranked,
        loss=mse_loss + auxiliary,
        losses={"mse_loss": mse_loss, "auxiliary_reconstruction_loss": auxiliary},
    )


def _auxiliary_loss(sae: TopKTrainingSAE, step: TrainStepInput, sae_out: Rows, norm: Tensor | None) -> Tensor:
    """SAELens's `calculate_topk_aux_loss`, computed on the dead features alone."""
    dead = None if step.dead_neuron_mask is None else step.dead_neuron_mask.nonzero().squeeze(1)
    if dead is None or len(dead) == 0:
        return sae_out.new_tensor(0.0)
    k_wanted = step.sae_in.shape[-1] // 2
    k, scale = min(k_wanted, len(dead)), min(len(dead) / k_wanted, 1.0)
    centred = step.sae_in - sae.b_dec if sae.cfg.apply_b_dec_to_input else step.sae_in
    hidden_pre = centred @ sae.W_enc[:, dead] + sae.b_enc[dead]
    ranked = hidden_pre if norm is None else hidden_pre * norm[dead]
    best = ranked.topk(k, sorted=False).indices
    acts = torch.zeros_like(hidden_pre).scatter(1, best, hidden_pre.gather(1, best))
    missed = acts @ sae.W_dec[dead] - (step.sae_in - sae_out)
    return sae.cfg.aux_loss_coefficient * scale * missed.square().sum(-1).mean()


class _ActiveRows(torch.autograd.Function):
    """The reconstruction from the active features, and gradients through them alone."""

    @staticmethod
    def forward(
        ctx: Any,
        centred: Rows,
        W_enc: Float[Tensor, "d_in d_sae"],
        b_enc: Float[Tensor, " d_sae"],
        W_dec: Float[Tensor, "d_sae d_in"],
        b_dec: Float[Tensor, " d_in"],
        indices: Int64[Tensor, "batch k"],
        active: Float[Tensor, "batch k"],
        cfg: Any,
    ) -> Rows:
        ctx.save_for_backward(centred, W_enc, W_dec, indices, active)
        ctx.is_centred = cfg.apply_b_dec_to_input
        return embedding_bag(indices, W_dec, mode="sum", per_sample_weights=active) + b_dec

    @staticmethod
    def backward(ctx: Any, gradient: Rows) -> tuple[Tensor | None, ...]:
        centred, W_enc, W_dec, indices, active = ctx.saved_tensors
        of_active = torch.bmm(W_dec[indices], gradient.unsqueeze(-1)).squeeze(-1) * (active > 0)
        by_feature = _transposed(indices, of_active, len(W_dec))
        of_W_enc = (by_feature @ centred).T
        of_b_enc = torch.zeros_like(W_dec[:, 0]).index_add_(0, indices.flatten(), of_active.flatten())
        of_W_dec = _transposed(indices, active, len(W_dec)) @ gradient
        of_b_dec = gradient.sum(0)
        if ctx.is_centred:
            of_b_dec = of_b_dec - W_enc @ of_b_enc
        return None, of_W_enc, of_b_enc, of_W_dec, of_b_dec, None, None, None


def _transposed(indices: Int64[Tensor, "batch k"], values: Float[Tensor, "batch k"], d_sae: int) -> Tensor:
    """Sparse (d_sae, batch)."""
    n, k = indices.shape
    starts = torch.arange(0, n * k + 1, k, device=indices.device)
    return torch.sparse_csr_tensor(starts, indices.flatten(), values.flatten(), (n, d_sae), check_invariants=False).t()
