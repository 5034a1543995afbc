"""One SAE with what its training has to remember."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from sae_lens import TrainingSAE
from sae_lens.saes.sae import TrainCoefficientConfig, TrainStepInput
from torch import Tensor, nn

from analogue.training.standard import can_step_directly, standard_step
from analogue.training.topk import can_step_sparsely, topk_step

SCALED = "expected_average_only_in"  # SAELens's name for: input divided once, so that its mean norm is sqrt(d_in)


class SAEUnderTraining(nn.Module):
    """An SAE, the scale of its input, and when its features last fired; all of it is in a checkpoint.

    Args:
        sae: with fresh weights.
        layer: whose residual stream it reads.
        dead_after_tokens: tokens without firing after which a feature counts as dead.
    """

    input_scale: Tensor
    tokens_since_fired: Tensor
    n_fired: Tensor
    n_tokens: Tensor

    def __init__(self, sae: TrainingSAE[Any], layer: int, dead_after_tokens: int) -> None:
        super().__init__()
        self.sae = sae
        self.layer = layer
        self.dead_after_tokens = dead_after_tokens
        self.register_buffer("input_scale", torch.tensor(torch.nan))  # not estimated yet
        self.register_buffer("tokens_since_fired", torch.zeros(sae.cfg.d_sae, dtype=torch.int64))
        self.register_buffer("n_fired", torch.zeros(sae.cfg.d_sae, dtype=torch.int64))
        self.register_buffer("n_tokens", torch.zeros((), dtype=torch.int64))

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        """Features that have not fired on the last `dead_after_tokens` tokens."""
        return self.tokens_since_fired > self.dead_after_tokens

    @property
    def density(self) -> Float[Tensor, " d_sae"]:
        """On which share of the tokens each feature has fired since `forget_density`."""
        return self.n_fired / self.n_tokens.clamp(min=1)

    def forget_density(self) -> None:
        """Count firings from zero."""
        self.n_fired.zero_()
        self.n_tokens.zero_()

    def estimate_scale(self, resid: Float[Tensor, "n_tokens d_in"]) -> None:
        """Take the input's scale from some tokens; 1 where the SAE does not ask for one."""
        scaled = self.sae.cfg.normalize_activations == SCALED
        self.input_scale.fill_(self.sae.cfg.d_in**0.5 / float(resid.double().norm(dim=-1).mean()) if scaled else 1.0)

    def forward(self, resid: Float[Tensor, "n_tokens d_in"], step: int) -> Any:
        """One training forward pass; returns SAELens's `TrainStepOutput`."""
        coefficients = {name: _at_step(value, step) for name, value in self.sae.get_coefficients().items()}
        inputs = TrainStepInput(resid * self.input_scale, coefficients, self.dead, step, is_logging_step=False)
        if can_step_sparsely(self.sae):
            return topk_step(self.sae, inputs)
        if can_step_directly(self.sae):
            return standard_step(self.sae, inputs)
        return self.sae.training_forward_pass(inputs)

    @torch.no_grad()
    def count(self, n_fired: Tensor, n_tokens: int) -> None:
        """Note how often each feature fired on a batch (of all ranks)."""
        self.n_fired += n_fired
        self.n_tokens += n_tokens
        self.tokens_since_fired += n_tokens
        self.tokens_since_fired[n_fired > 0] = 0

    def reconstruct(self, resid: Float[Tensor, "n_tokens d_in"]) -> tuple[Tensor, Tensor]:
        """Reconstruction and feature activations of input as the model gives it."""
        acts = self.sae.encode(resid * self.input_scale)
        return self.sae.decode(acts) / self.input_scale, acts

    def finish(self) -> TrainingSAE[Any]:
        """Fold the input scale into the weights, so that the SAE reads the residual stream as it is."""
        if self.sae.cfg.normalize_activations == SCALED:
            self.sae.fold_activation_norm_scaling_factor(float(self.input_scale))
            self.input_scale.fill_(1.0)
        return self.sae


def _at_step(coefficient: float | TrainCoefficientConfig, step: int) -> float:
    """A coefficient that rises linearly from 0 over its warm-up steps, as SAELens's scheduler has it."""
    if not isinstance(coefficient, TrainCoefficientConfig):
        return coefficient
    return coefficient.value * min(1.0, step / coefficient.warm_up_steps if coefficient.warm_up_steps else 1.0)
