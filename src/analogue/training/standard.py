"""One training step of a standard SAE with one product less than SAELens's, and its losses from column sums."""

from typing import Any

import torch
from jaxtyping import Float
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.standard_sae import StandardTrainingSAE
from torch import Tensor

from analogue.training.quick import is_plain

Rows = Float[Tensor, "batch d_in"]


def can_step_directly(sae: Any) -> bool:
    """Whether `standard_step` stands in for this SAE's own forward pass: L1 norm, in float32."""
    return is_plain(sae, StandardTrainingSAE) and sae.cfg.lp_norm == 1.0


def standard_step(sae: StandardTrainingSAE, step: TrainStepInput) -> TrainStepOutput:
    """What `sae.training_forward_pass(step)` computes, losses and gradients.

    SAELens needs a product for the gradient of its centred input, of which only the sum over tokens is used, by the
    decoder's bias; here that sum is taken first. The other outputs carry no gradient of their own.
    """
    l1_coefficient = step.coefficients["l1"]
    outputs = _Losses.apply(
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


class _Losses(torch.autograd.Function):
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
        of_W_dec = torch.addmm((of_l1 * mean_acts / norms).unsqueeze(1) * W_dec, acts.T, of_out)
        of_b_dec = of_out.sum(0)
        if ctx.centre:
            of_b_dec = of_b_dec - W_enc @ of_b_enc
        return None, centred.T @ of_pre, of_b_enc, of_W_dec, of_b_dec, None, None
