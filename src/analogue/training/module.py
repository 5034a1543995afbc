"""The Lightning module that trains SAELens's SAEs, one for each layer, side by side on one activation stream."""

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from sae_lens import TrainingSAE
from sae_lens.saes.sae import TrainCoefficientConfig, TrainStepInput
from sae_lens.training.activation_scaler import ActivationScaler
from sae_lens.training.optim import CoefficientScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from analogue.saes import Quality, ReconstructionQuality

GRADIENT_NORM = 1.0  # SAELens clips each SAE's gradient at this norm
LOG_EVERY = 20  # steps between two looks at explained variance and L0


class SAEUnderTraining(nn.Module):
    """One SAE with what its training has to remember: input scale, coefficient schedules, when features last fired."""

    tokens_since_fired: Tensor

    def __init__(self, sae: TrainingSAE[Any], dead_after_tokens: int) -> None:
        super().__init__()
        self.sae = sae
        self.dead_after_tokens = dead_after_tokens
        self.scaler = ActivationScaler()
        self.coefficients = {name: _schedule(value) for name, value in sae.get_coefficients().items()}
        self.register_buffer("tokens_since_fired", torch.zeros(sae.cfg.d_sae, dtype=torch.int64))

    @property
    def dead(self) -> Tensor:
        """Features that have not fired on the last `dead_after_tokens` tokens, (d_sae,) bool."""
        return self.tokens_since_fired > self.dead_after_tokens

    def forward(self, resid: Tensor, step: int) -> Any:
        """One training forward pass; returns SAELens's `TrainStepOutput`."""
        if self.scaler.scaling_factor is None and self.sae.cfg.normalize_activations == "expected_average_only_in":
            self.scaler.scaling_factor = self.sae.cfg.d_in**0.5 / float(resid.norm(dim=-1).mean())
        coefficients = {name: schedule.value for name, schedule in self.coefficients.items()}
        output = self.sae.training_forward_pass(
            TrainStepInput(self.scaler.scale(resid), coefficients, self.dead, step, is_logging_step=False)
        )
        fired = (output.feature_acts.detach() != 0).any(0)
        self.tokens_since_fired += len(resid)
        self.tokens_since_fired[fired] = 0
        for schedule in self.coefficients.values():
            schedule.step()
        return output

    def reconstruct(self, resid: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and feature activations of unscaled input."""
        acts = self.sae.encode(self.scaler.scale(resid))
        return self.scaler.unscale(self.sae.decode(acts)), acts

    def finish(self) -> TrainingSAE[Any]:
        """Fold the input scale into the weights, so that the SAE reads the residual stream as it is."""
        if self.scaler.scaling_factor is not None:
            self.sae.fold_activation_norm_scaling_factor(self.scaler.scaling_factor)
            self.scaler.scaling_factor = None
        return self.sae


class SAETraining(L.LightningModule):
    """Trains SAEs keyed by layer with Adam; each SAE's gradients touch that SAE alone."""

    def __init__(
        self,
        saes: dict[int, TrainingSAE[Any]],
        learning_rate: float,
        warm_up_fraction: float,
        decay_fraction: float,
        dead_after_tokens: int,
    ) -> None:
        super().__init__()
        self.saes: Mapping[str, SAEUnderTraining] = nn.ModuleDict(  # type: ignore[assignment]
            {str(layer): SAEUnderTraining(sae, dead_after_tokens) for layer, sae in saes.items()}
        )
        self.learning_rate = learning_rate
        self.warm_up_fraction, self.decay_fraction = warm_up_fraction, decay_fraction
        self.quality: Mapping[str, ReconstructionQuality] = nn.ModuleDict(  # type: ignore[assignment]
            {str(layer): ReconstructionQuality(sae.cfg.d_in, sae.cfg.d_sae) for layer, sae in saes.items()}
        )
        self.held_out: dict[int, Quality] = {}

    def training_step(self, batch: dict[int, Tensor], batch_idx: int) -> Tensor:
        losses = []
        for layer, resid in batch.items():
            output = self.saes[str(layer)](resid, self.global_step)
            losses.append(output.loss)
            if batch_idx % LOG_EVERY == 0:
                self._log_step(layer, output)
        total = torch.stack(losses).sum()
        self.log("loss", total, prog_bar=True)
        return total

    @torch.no_grad()
    def _log_step(self, layer: int, output: Any) -> None:
        sae = self.saes[str(layer)]
        quality = ReconstructionQuality(sae.sae.cfg.d_in, sae.sae.cfg.d_sae).to(self.device)
        quality.update(output.sae_in, output.sae_out, output.feature_acts)
        seen = quality.compute()
        terms = {f"layer_{layer}/{name}": value for name, value in output.losses.items()}
        self.log_dict(
            terms
            | {
                f"layer_{layer}/explained_variance": seen.explained_variance,
                f"layer_{layer}/l0": seen.l0,
                f"layer_{layer}/dead_features": sae.dead.double().mean(),
            }
        )

    def validation_step(self, batch: dict[int, Tensor], batch_idx: int) -> None:
        for layer, resid in batch.items():
            self.quality[str(layer)].update(resid, *self.saes[str(layer)].reconstruct(resid))

    def on_validation_epoch_end(self) -> None:
        for name, metric in self.quality.items():
            seen = self.held_out[int(name)] = metric.compute()
            metric.reset()
            self.log_dict({f"layer_{name}/held_out/{key}": float(value) for key, value in seen._asdict().items()})

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        for sae in self.saes.values():
            nn.utils.clip_grad_norm_(sae.parameters(), GRADIENT_NORM)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: self._learning_rate_factor(step, n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _learning_rate_factor(self, step: int, n_steps: int) -> float:
        """Linear warm-up over the first fraction of steps, constant, linear decay to 0 over the last fraction."""
        warm_up, decay = self.warm_up_fraction * n_steps, self.decay_fraction * n_steps
        rising = (step + 1) / warm_up if step < warm_up else 1.0
        falling = (n_steps - step) / decay if n_steps - step < decay else 1.0
        return min(rising, falling, 1.0)


def _schedule(coefficient: float | TrainCoefficientConfig) -> CoefficientScheduler:
    value, steps = coefficient if isinstance(coefficient, TrainCoefficientConfig) else (coefficient, 0)
    return CoefficientScheduler(warm_up_steps=steps, final_value=value)
