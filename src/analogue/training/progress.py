"""What a training run says of itself: what was chosen before it starts, and a line per logged step."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L

from analogue.settings import default_k
from analogue.training.settings import TrainingPlan

LOG_FILE = "training.log"
TOKENS_PER_FEATURE = 50  # with fewer, most features see too few examples to become anything


def chosen(plan: TrainingPlan, d_model: int) -> str:
    """One line on the settings that the run goes by, those that were chosen for it too."""
    k = plan.settings.get("k", 0)
    sparsity = [f"k={default_k(d_model) if k is None else k}"] if k != 0 else []
    parts = [
        f"{plan.n_steps} steps of {plan.batch_tokens:,} tokens",
        f"learning rate {plan.learning_rate:.2g}",
        *sparsity,
        f"features count as dead after {plan.dead_after_tokens:,} tokens",
        f"measured on {plan.evaluation.n_tokens:,} tokens of held-out text {_how_often(plan)}",
    ]
    return f"{_counted(len(plan.saes(d_model)))} ({plan.architecture}): {', '.join(parts)}"


def too_few_tokens(plan: TrainingPlan, d_model: int) -> str | None:
    """What is said before a run whose tokens are too few for its widest SAE; None if they suffice."""
    factor = max(plan.expansion_factor)
    wanted = TOKENS_PER_FEATURE * factor * d_model
    if plan.n_tokens >= wanted:
        return None
    fitting = plan.n_tokens // (TOKENS_PER_FEATURE * d_model)
    advice = f"`expansion_factor`=[{fitting}], or " if fitting else ""
    problem = f"`n_tokens`={plan.n_tokens:,} are few for {factor * d_model:,} features, many of which may stay dead"
    return f"{problem}; {advice}`n_tokens`={wanted} would fit"


class ProgressLines(L.Callback):
    """Writes a line per logged step to a file, and to the output where that is no terminal.

    Args:
        path: of the file; lines are added to what it holds. None to write to the output alone.
        batch_tokens: tokens per step.
        show: writes a line to the output; None to write to the file alone.
    """

    def __init__(self, path: Path | None, batch_tokens: int, show: Callable[[str], Any] | None = None) -> None:
        self.path, self.batch_tokens, self.show = path, batch_tokens, show
        self._began = 0, 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began = trainer.global_step, time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % every == 0 and trainer.is_global_zero:
            self._write(self._line(trainer))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self._write(f"step {trainer.global_step}: measuring on held-out text")

    def _line(self, trainer: L.Trainer) -> str:
        step, n_steps = trainer.global_step, int(trainer.estimated_stepping_batches)
        first, then = self._began
        left = (time.monotonic() - then) / (step - first) * (n_steps - step)
        values = {name: float(value) for name, value in trainer.progress_bar_metrics.items()}
        numbers = {name: f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for name, value in values.items()}
        shown = ", ".join(f"{name} {number}" for name, number in numbers.items())
        return f"step {step} of {n_steps}, {step * self.batch_tokens:,} tokens: {shown}; {_duration(left)} left"

    def _write(self, line: str) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        if self.show is not None:
            self.show(line)


def progress_lines(batch_tokens: int, output_dir: str | Path | None, progress: bool) -> list[ProgressLines]:
    """The callback that writes lines, for whoever reads them: the output, and `training.log` in `output_dir`."""
    show = partial(print, flush=True) if progress and shows_lines() else None
    path = None if output_dir is None else Path(output_dir) / LOG_FILE
    return [] if show is None and path is None else [ProgressLines(path, batch_tokens, show)]


def shows_lines() -> bool:
    """Whether a progress bar would not be seen: the output goes to a file or a pipe, and not to a notebook."""
    return not sys.stdout.isatty() and "ipykernel" not in sys.modules


def _how_often(plan: TrainingPlan) -> str:
    every = plan.steps_between_evaluations
    return "at the end" if every >= plan.n_steps else f"every {every} steps and at the end"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _counted(n_saes: int) -> str:
    return "1 SAE" if n_saes == 1 else f"{n_saes} SAEs"
