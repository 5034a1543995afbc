"""The Lightning module that trains SAELens's SAEs side by side on one activation stream."""

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from analogue.errors import UserError
from analogue.saes import Quality, ReconstructionQuality
from analogue.training.activations import ActivationBatch
from analogue.training.under_training import SAEUnderTraining

GRADIENT_NORM = 1.0  # SAELens clips each SAE's gradient at this norm
EXPLODED = 1e3  # times the first loss


class SAETraining(L.LightningModule):
    """Trains SAEs with Adam; each SAE's losses, gradients and clipping touch that SAE alone.

    Args:
        saes: by name, which logs and checkpoints use.
        learning_rate: of all.
        warm_up_steps: of linear rise of the learning rate.
        decay_steps: of linear fall to 0 at the end.
        scale_batches: batches on which the scale of the input is estimated.

    Attributes:
        held_out: by name, quality on the evaluation stream when last looked at.
        recovered: by name, cross-entropy recovered on held-out text.
        evaluated_at: the step after which that was; None before.
    """

    def __init__(
        self,
        saes: Mapping[str, SAEUnderTraining],
        learning_rate: float,
        warm_up_steps: int,
        decay_steps: int,
        scale_batches: int = 8,
    ) -> None:
        super().__init__()
        self.saes: Mapping[str, SAEUnderTraining] = nn.ModuleDict(dict(saes))  # type: ignore[assignment]
        self.learning_rate = learning_rate
        self.warm_up_steps, self.decay_steps = warm_up_steps, decay_steps
        self.scale_batches = scale_batches
        self.quality: Mapping[str, ReconstructionQuality] = nn.ModuleDict(  # type: ignore[assignment]
            {name: ReconstructionQuality(each.sae.cfg.d_in, each.sae.cfg.d_sae) for name, each in saes.items()}
        )
        self.held_out: dict[str, Quality] = {}
        self.recovered: dict[str, float] = {}
        self.evaluated_at: int | None = None
        self._first_losses: dict[str, Tensor] = {}
        self._losses: dict[str, Tensor] = {}
        self._seen: dict[str, Any] = {}

    def on_fit_start(self) -> None:
        fresh = [each for each in self.saes.values() if each.input_scale.isnan()]
        if not fresh:
            return
        sample = self._datamodule.training.sample(self.scale_batches)
        for each in fresh:
            each.estimate_scale(sample[each.layer].to(self.device))
            each.input_scale.copy_(self.trainer.strategy.reduce(each.input_scale, reduce_op="mean"))

    def on_train_start(self) -> None:
        self._began = self.global_step, time.perf_counter()

    def training_step(self, batch: ActivationBatch, batch_idx: int) -> Tensor:
        looks = self._looks()
        losses = []
        for name, each in self.saes.items():
            resid = batch[each.layer]
            output = each(resid, self.global_step)
            losses.append(output.loss)
            self._losses[name] = output.loss.detach()
            n_fired = output.feature_acts.detach().count_nonzero(0)
            each.count(self._summed(n_fired), len(resid) * self.trainer.world_size)
            if looks:
                self._seen |= {f"{name}/{key}": value for key, value in self._measured(each, output).items()}
        self._first_losses = self._first_losses or dict(self._losses)
        total = torch.stack(losses).sum()
        if looks:  # at every step, `self.log` would take as long as the rest of a small step
            self._check()
            shown: dict[str, Any] = {"loss": total.detach(), "tokens_per_second": self._tokens_per_second(len(resid))}
            self.log_dict(shown, prog_bar=True, logger=False)
            self._seen |= shown
        return total

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        for name, each in self.saes.items():
            norm = nn.utils.clip_grad_norm_(each.parameters(), GRADIENT_NORM)
            if self._looks():
                self._seen[f"{name}/gradient_norm"] = norm

    def on_train_batch_end(self, *args: Any) -> None:
        if self._seen:
            self._write(self._seen)
            self._seen = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check()  # a checkpoint of weights that are lost would push out one that is good

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate, fused=True)
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: self._learning_rate_factor(step, n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: ActivationBatch, batch_idx: int) -> None:
        for name, each in self.saes.items():
            resid = batch[each.layer]
            self.quality[name].update(resid, *each.reconstruct(resid))

    def on_validation_epoch_end(self) -> None:
        self._check()
        for name, metric in self.quality.items():
            self.held_out[name] = metric.compute()
            metric.reset()
        self.recovered = self._datamodule.held_out.recovered(self.saes)
        self.evaluated_at = self.global_step
        for name, quality in self.held_out.items():
            values = quality._asdict() | {"cross_entropy_recovered": self.recovered[name]}
            self._write({f"{name}/held_out/{key}": value for key, value in values.items()})
        self._log_density()

    @property
    def _datamodule(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def _looks(self) -> bool:
        """Whether this step is one whose values are logged, of which some cost time to know."""
        return (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def _learning_rate_factor(self, step: int, n_steps: int) -> float:
        rising = (step + 1) / self.warm_up_steps if step < self.warm_up_steps else 1.0
        falling = (n_steps - step) / self.decay_steps if n_steps - step < self.decay_steps else 1.0
        return min(rising, falling, 1.0)

    def _summed(self, n_fired: Tensor) -> Tensor:
        return n_fired if self.trainer.world_size == 1 else self.trainer.strategy.reduce(n_fired, reduce_op="sum")

    def _check(self) -> None:
        """Stop where going on would only waste time."""
        for name, last in self._losses.items():
            loss, first = float(last), float(self._first_losses[name])
            if not loss <= EXPLODED * first:
                problem = f"the loss of {name} is {loss:.3g} at step {self.global_step} (it began at {first:.3g}); "
                raise UserError(
                    "optimiser.learning_rate", self.learning_rate, f"{problem}lower it or raise its warm-up"
                )

    @torch.no_grad()
    def _measured(self, each: SAEUnderTraining, output: Any) -> dict[str, Any]:
        quality = ReconstructionQuality(each.sae.cfg.d_in, each.sae.cfg.d_sae).to(self.device)
        quality.update(output.sae_in, output.sae_out, output.feature_acts)
        seen = quality.compute()
        return {key: value.detach() for key, value in output.losses.items()} | {
            "explained_variance": seen.explained_variance,
            "l0": seen.l0,
            "dead_features": each.dead.double().mean(),
        }

    def _write(self, values: Mapping[str, Any]) -> None:
        """One row for the loggers, named after the steps done.

        `self.log` keeps what it was given until it is given something newer: the row that Lightning writes of the step
        in which a run is stopped would hold values of an earlier one.
        """
        plain = {key: float(value) for key, value in values.items()}
        for logger in self.loggers:
            logger.log_metrics(plain, step=self.global_step)
            logger.save()

    def _log_density(self) -> None:
        """How often features fire, as a histogram, since this was last logged."""
        if not isinstance(self.logger, WandbLogger) or self.trainer.state.fn != "fit":
            return
        import wandb

        histograms: dict[str, Any] = {}
        for name, each in self.saes.items():
            density = each.density[each.n_fired > 0].log10()
            histograms[f"{name}/log10_density"] = wandb.Histogram(density.tolist())
            each.forget_density()
        self.logger.log_metrics(histograms, step=self.global_step)

    def _tokens_per_second(self, n_tokens: int) -> float:
        """Since this run began: between two looks the buffer has been filled, or has not."""
        step, then = self._began
        return (self.global_step + 1 - step) * n_tokens * self.trainer.world_size / (time.perf_counter() - then)
