"""The Lightning module that trains SAELens's SAEs side by side on one activation stream."""

import time
from collections.abc import Callable, Mapping
from math import nan
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from analogue.errors import InvalidArgument, warn
from analogue.options import DecoderBiasStart
from analogue.saes import ReconstructionQuality
from analogue.training.held_out import HeldOutQuality, cross_entropy_recovered
from analogue.training.sae import SAEUnderTraining
from analogue.training.settings import fused_adam
from analogue.training.source import ActivationBatch, ModelSource

GRADIENT_NORM = 1.0  # SAELens clips each SAE's gradient at this norm
EXPLODED = 1e3  # times the first loss
MOSTLY_DEAD = 0.5  # share of features; a run that has more after a tenth of its steps says so


class NotFiniteError(Exception):
    """A model's output is not finite, so that no SAE can be trained on it; the message has the model as its subject."""


class SAETraining(L.LightningModule):
    """Trains SAEs; each SAE's losses, gradients and clipping touch that SAE alone.

    Every `log_every_n_steps` it logs `loss`, `tokens_per_second` and, for each SAE, `layer_3/mse_loss`,
    `layer_3/explained_variance` and so on; after each validation, `layer_3/held_out/explained_variance` and so on, and
    `held_out/explained_variance`, the mean over SAEs. Callbacks can monitor all of them.

    Args:
        saes: by the name that logs and checkpoints use; a checkpoint holds their `hyperparameters` instead.
        learning_rate: of all.
        warm_up_steps: of linear rise of the learning rate.
        decay_steps: of linear fall to 0 at the end.
        optimiser: `optimiser(parameters, lr=learning_rate)`.
        b_dec_init_method: what the SAEs' decoder biases start at: `mean`, `geometric_median` or `zeros`.
        exclude_outliers: leave out tokens whose norm is more than this many times the median; None for none.
        sample: activations to which the SAEs' start is fitted, called when training begins; None if nothing has to be
            estimated on it.
        held_out_text: on which the cross-entropy recovered is measured; None to leave that at NaN.

    Attributes:
        held_out: by name, the quality on the evaluation stream when it was last measured.
        evaluated_at: the step after which that was; None before.
    """

    def __init__(
        self,
        saes: Mapping[str, SAEUnderTraining | Mapping[str, Any]],
        learning_rate: float,
        warm_up_steps: int,
        decay_steps: int,
        optimiser: Callable[..., torch.optim.Optimizer] = fused_adam,
        b_dec_init_method: str = DecoderBiasStart.zeros,
        exclude_outliers: float | None = None,
        sample: Callable[[], ActivationBatch] | None = None,
        held_out_text: ModelSource | None = None,
    ) -> None:
        super().__init__()
        made = {
            name: each if isinstance(each, SAEUnderTraining) else SAEUnderTraining.from_hyperparameters(each)
            for name, each in saes.items()
        }
        hyperparameters: dict[str, Any] = {
            "saes": {name: each.hyperparameters() for name, each in made.items()},
            "learning_rate": learning_rate,
            "warm_up_steps": warm_up_steps,
            "decay_steps": decay_steps,
        }
        self.save_hyperparameters(hyperparameters, logger=False)
        self.saes: Mapping[str, SAEUnderTraining] = nn.ModuleDict(made)  # type: ignore[assignment]
        self.learning_rate = learning_rate
        self.warm_up_steps, self.decay_steps = warm_up_steps, decay_steps
        self.b_dec_init_method, self.exclude_outliers = b_dec_init_method, exclude_outliers
        self.optimiser, self.sample, self.held_out_text = optimiser, sample, held_out_text
        self.quality: Mapping[str, ReconstructionQuality] = nn.ModuleDict(  # type: ignore[assignment]
            {name: ReconstructionQuality(each.sae.cfg.d_in, each.sae.cfg.d_sae) for name, each in made.items()}
        )
        self.held_out: dict[str, HeldOutQuality] = {}
        self.evaluated_at: int | None = None
        self._first_losses: dict[str, Tensor] = {}
        self._losses: dict[str, Tensor] = {}
        self._are_finite: dict[int, Tensor] = {}  # by layer: all that has been read
        self._row: dict[str, Any] = {}
        self._warned_of_dead = False

    def on_fit_start(self) -> None:
        fresh = [each for each in self.saes.values() if each.input_scale.isnan()]
        estimates = self.b_dec_init_method != DecoderBiasStart.zeros or self.exclude_outliers is not None
        sample = self._sample() if fresh and (estimates or any(each.scales_input for each in fresh)) else {}
        for each in fresh:
            if each.layer not in sample:
                each.input_scale.fill_(1.0)
                continue
            each.start(sample[each.layer].to(self.device), self.b_dec_init_method, self.exclude_outliers)
            for estimated in (each.input_scale, each.largest_norm, *each.biases):  # a rank's sample is of its own text
                estimated.data.copy_(self.trainer.strategy.reduce(estimated.detach(), reduce_op="mean"))

    def on_train_start(self) -> None:
        self._began = self.global_step, time.perf_counter()

    def training_step(self, batch: ActivationBatch, batch_idx: int) -> Tensor:
        should_log = self._should_log()
        losses = []
        measured: dict[str, Any] = {}
        for layer, acts in batch.items():
            # Read with the losses: until then, a GPU need not be waited for.
            are_finite = acts.isfinite().all()
            self._are_finite[layer] = self._are_finite[layer] & are_finite if layer in self._are_finite else are_finite
        for name, each in self.saes.items():
            resid = each.without_outliers(batch[each.layer])
            output = each(resid, self.global_step)
            losses.append(output.loss)
            self._losses[name] = output.loss.detach()
            n_fired = output.feature_acts.detach().count_nonzero(0)
            n_fired = self.trainer.strategy.reduce(n_fired, reduce_op="sum")
            each.count(n_fired, len(batch[each.layer]) * self.trainer.world_size)
            each.n_outliers += len(batch[each.layer]) - len(resid)
            if should_log:
                measured |= {f"{name}/{key}": value for key, value in self._measured(each, output).items()}
        self._first_losses = self._first_losses or dict(self._losses)
        total = torch.stack(losses).sum()
        if should_log:  # at every step, `self.log` would take as long as the rest of a small step
            self._check_losses()
            speed = self._tokens_per_second(len(next(iter(batch.values()))))
            summary: dict[str, Any] = {"loss": total.detach(), "tokens_per_second": speed}
            self.log_dict(measured | summary, logger=False)
            self.log_dict(shown_values(measured, len(self.saes), speed), logger=False, prog_bar=True)
            self._row = measured | summary
            self._warn_of_dead(measured)
        return total

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        for name, each in self.saes.items():
            norm = nn.utils.clip_grad_norm_(each.parameters(), GRADIENT_NORM)
            if self._should_log():
                self._row[f"{name}/gradient_norm"] = norm

    def on_train_batch_end(self, *args: Any) -> None:
        if self._row:
            norms = {key: value for key, value in self._row.items() if key.endswith("/gradient_norm")}
            self.log_dict(norms, logger=False)
            self._write_row(self._row)
            self._row = {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check_losses()  # a checkpoint of diverged weights would replace a good one

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self.optimiser(self.parameters(), lr=self.learning_rate)
        except (TypeError, ValueError) as error:
            raise InvalidArgument("optimiser", self.optimiser, f"cannot be made ({error})") from error
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: self._learning_rate_factor(step, n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: ActivationBatch, batch_idx: int) -> None:
        for name, each in self.saes.items():
            resid = each.without_outliers(batch[each.layer])
            self.quality[name].update(resid, *each.reconstruct(resid))

    def on_validation_epoch_end(self) -> None:
        self._check_losses()
        text = self.held_out_text
        recovered = cross_entropy_recovered(text, self.saes) if text else dict.fromkeys(self.saes, nan)
        for name, metric in self.quality.items():
            self.held_out[name] = HeldOutQuality(*metric.compute(), recovered[name])
            metric.reset()
        self.evaluated_at = self.global_step
        for name, quality in self.held_out.items():
            values = {f"{name}/held_out/{key}": float(value) for key, value in quality._asdict().items()}
            self.log_dict(values, logger=False, sync_dist=True)
            self._write_row(values)
        mean = sum(quality.explained_variance for quality in self.held_out.values()) / len(self.held_out)
        self.log("held_out/explained_variance", mean, logger=False, sync_dist=True)
        self._log_density()

    def _sample(self) -> ActivationBatch:
        if self.sample is None:
            raise InvalidArgument("sample", None, "is needed to estimate the scale and centre of the SAEs' input")
        sample = self.sample()
        _check_finite({layer: acts.isfinite().all() for layer, acts in sample.items()})
        return sample

    def _warn_of_dead(self, measured: Mapping[str, Any]) -> None:
        """Say early, and once, that most features of an SAE are dead."""
        done = (self.global_step + 1) / float(self.trainer.estimated_stepping_batches)
        dead = {name: float(measured[f"{name}/dead_features"]) for name in self.saes}
        worst = max(dead, key=lambda name: dead[name])
        if self._warned_of_dead or done < 0.1 or dead[worst] <= MOSTLY_DEAD:
            return
        self._warned_of_dead = True
        problem = f"{dead[worst]:.0%} of the features of {worst} are dead after {done:.0%} of the steps"
        advice = "raise `optimiser.learning_rate`, raise k or lower the sparsity coefficient (`settings`), lower"
        advice += " `expansion_factor`, or start at the mean (`b_dec_init_method`)"
        warn(f"{problem}: {advice}")

    def _should_log(self) -> bool:
        """Whether values are logged after this step; some of them take time to compute."""
        return (self.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def _learning_rate_factor(self, step: int, n_steps: int) -> float:
        rising = (step + 1) / self.warm_up_steps if step < self.warm_up_steps else 1.0
        falling = (n_steps - step) / self.decay_steps if n_steps - step < self.decay_steps else 1.0
        return min(rising, falling, 1.0)

    def _check_losses(self) -> None:
        """Stop a run whose activations are not finite or whose loss has exploded."""
        _check_finite(self._are_finite)
        for name, last in self._losses.items():
            loss, first = float(last), float(self._first_losses[name])
            if not loss <= EXPLODED * first:
                problem = f"the loss of {name} is {loss:.3g} at step {self.global_step} (it began at {first:.3g}); "
                raise InvalidArgument("learning_rate", self.learning_rate, f"{problem}lower it or raise its warm-up")

    @torch.no_grad()
    def _measured(self, each: SAEUnderTraining, output: Any) -> dict[str, Any]:
        quality = ReconstructionQuality(each.sae.cfg.d_in, each.sae.cfg.d_sae).to(self.device)
        quality.update(output.sae_in, output.sae_out, output.feature_acts)
        seen = quality.compute()
        return {key: value.detach() for key, value in output.losses.items()} | {
            "explained_variance": seen.explained_variance,
            "l0": seen.l0,
            "dead_features": each.dead.double().mean(),
            "outliers": each.n_outliers.double(),
        }

    def _write_row(self, values: Mapping[str, Any]) -> None:
        """One row for the loggers, under the number of steps done.

        `self.log` has the values too, for callbacks and the progress bar, but with `logger=False`: Lightning names its
        rows after the step before, and when a run is stopped, it writes a row of that step, whatever the step, from
        values that were logged at an earlier one.
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
            each.reset_density()
        self.logger.log_metrics(histograms, step=self.global_step)

    def _tokens_per_second(self, n_tokens: int) -> float:
        """The mean since this run began: a refill of the buffer makes the speed between two logged steps uneven."""
        step, then = self._began
        return (self.global_step + 1 - step) * n_tokens * self.trainer.world_size / (time.perf_counter() - then)


def _check_finite(are_finite: Mapping[int, Tensor]) -> None:
    """Raise `NotFiniteError` for a layer of which something was read that is not finite."""
    for layer in (layer for layer, each in are_finite.items() if not each):
        raise NotFiniteError(f"puts out values that are not finite after block {layer}")


def shown_values(measured: Mapping[str, Any], n_saes: int, tokens_per_second: float) -> dict[str, float]:
    """What a progress bar has room for: means over the SAEs, under short names."""
    names = {"explained_variance": "EV", "l0": "L0", "dead_features": "dead"}
    means = {
        short: sum(float(value) for key, value in measured.items() if key.endswith(f"/{name}")) / n_saes
        for name, short in names.items()
    }
    return means | {"tok/s": float(round(tokens_per_second))}
