"""One training step of a standard or TopK SAE: SAELens's losses and gradients with fewer products."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from sae_lens import TrainingSAE
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.standard_sae import StandardTrainingSAE
from sae_lens.saes.topk_sae import TopKTrainingSAE
from torch import Tensor
from torch.nn.functional import embedding_bag

Rows = Float[Tensor, "batch d_in"]


def is_plain(sae: TrainingSAE[Any], kind: type[TrainingSAE[Any]]) -> bool:
    """Whether this is an SAE of exactly that class, in float32 without autocast, with input scaled once or never."""
    scales_once = type(sae) is kind and sae.cfg.normalize_activations in ("none", "expected_average_only_in")
    return scales_once and sae.W_dec.dtype is torch.float32 and not torch.is_autocast_enabled(sae.W_dec.device.type)


def can_step_directly(sae: Any) -> bool:
    """Whether `standard_step` stands in for this SAE's own forward pass: L1 norm, in float32."""
    return is_plain(sae, StandardTrainingSAE) and sae.cfg.lp_norm == 1.0


def standard_step(sae: StandardTrainingSAE, step: TrainStepInput) -> TrainStepOutput:
    """What `sae.training_forward_pass(step)` computes, losses and gradients.

    SAELens needs a product for the gradient of its centred input, of which only the sum over tokens is used, by the
    decoder's bias; here that sum is taken first. The other outputs carry no gradient of their own.
    """
    l1_coefficient = step.coefficients["l1"]
    outputs = _StandardLosses.apply(
        step.sae_in, sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, l1_coefficient, sae.cfg.apply_b_dec_to_input
    )
    mse_loss, l1_loss, sae_out, acts = outputs
    return TrainStepOutput(
        sae_in=step.sae_in,
        sae_out=sae_out,
        feature_acts=acts,
        hidden_pre=acts,
        loss=mse_loss + l1_loss,
        losses={"mse_loss": mse_loss, "l1_loss": l1_loss},
    )


class _StandardLosses(torch.autograd.Function):
    """Squared error and L1 norm, weighted by decoder norms."""

    @staticmethod
    def forward(
        ctx: Any,
        sae_in: Rows,
        W_enc: Float[Tensor, "d_in d_sae"],
        b_enc: Float[Tensor, " d_sae"],
        W_dec: Float[Tensor, "d_sae d_in"],
        b_dec: Float[Tensor, " d_in"],
        l1_coefficient: float,
        centre: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        centred = sae_in - b_dec if centre else sae_in
        acts = torch.addmm(b_enc, centred, W_enc).relu_()
        sae_out = torch.addmm(b_dec, acts, W_dec)
        norms, mean_acts = W_dec.norm(dim=-1), acts.mean(0)
        missed = sae_out - sae_in
        ctx.save_for_backward(centred, acts, missed, W_enc, W_dec, norms, mean_acts)
        ctx.l1_coefficient, ctx.centre = l1_coefficient, centre
        ctx.mark_non_differentiable(sae_out, acts)
        return missed.square().sum(-1).mean(), l1_coefficient * (mean_acts @ norms), sae_out, acts

    @staticmethod
    def backward(ctx: Any, of_mse: Tensor, of_l1: Tensor, *unused: Any) -> tuple[Tensor | None, ...]:
        centred, acts, missed, W_enc, W_dec, norms, mean_acts = ctx.saved_tensors
        of_l1 = of_l1 * ctx.l1_coefficient
        of_out = missed * (2 * of_mse / len(acts))
        of_pre = torch.addmm(of_l1 / len(acts) * norms, of_out, W_dec.T).mul_(acts > 0)
        of_b_enc = of_pre.sum(0)
        of_W_dec = None
        if ctx.needs_input_grad[3]:
            of_W_dec = torch.addmm((of_l1 * mean_acts / norms).unsqueeze(1) * W_dec, acts.T, of_out)
        of_b_dec = of_out.sum(0)
        if ctx.centre:
            of_b_dec = of_b_dec - W_enc @ of_b_enc
        return None, centred.T @ of_pre, of_b_enc, of_W_dec, of_b_dec, None, None


def can_step_sparsely(sae: Any) -> bool:
    """Whether `topk_step` stands in for this SAE's own forward pass: TopK in float32, not autocast."""
    return is_plain(sae, TopKTrainingSAE)


def topk_step(sae: TopKTrainingSAE, step: TrainStepInput) -> TrainStepOutput:
    """What `sae.training_forward_pass(step)` computes, losses and gradients, from k decoder rows per token.

    SAELens multiplies all d_sae rows, most of them by zero. `feature_acts` and `hidden_pre` carry no gradient of their
    own here: all of it flows through `loss`.
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
    auxiliary = _dead_feature_loss(sae, step, sae_out.detach(), norm)
    return TrainStepOutput(
        sae_in=step.sae_in,
        sae_out=sae_out,
        feature_acts=feature_acts,
        hidden_pre=ranked,
        loss=mse_loss + auxiliary,
        losses={"mse_loss": mse_loss, "auxiliary_reconstruction_loss": auxiliary},
    )


def _dead_feature_loss(sae: TopKTrainingSAE, step: TrainStepInput, sae_out: Rows, norm: Tensor | None) -> Tensor:
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
        of_W_dec = _transposed(indices, active, len(W_dec)) @ gradient if ctx.needs_input_grad[3] else None
        of_b_dec = gradient.sum(0)
        if ctx.is_centred:
            of_b_dec = of_b_dec - W_enc @ of_b_enc
        return None, of_W_enc, of_b_enc, of_W_dec, of_b_dec, None, None, None


def _transposed(indices: Int64[Tensor, "batch k"], values: Float[Tensor, "batch k"], d_sae: int) -> Tensor:
    """Sparse (d_sae, batch)."""
    n, k = indices.shape
    starts = torch.arange(0, n * k + 1, k, device=indices.device)
    return torch.sparse_csr_tensor(starts, indices.flatten(), values.flatten(), (n, d_sae), check_invariants=False).t()
