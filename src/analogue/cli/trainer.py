"""Lightning trainers as the configuration describes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import RichProgressBar

from analogue.cores import usable_cores
from analogue.errors import UserError, first_line

RANKS_PER_CORE = 4  # each loads the models for itself; more than these fill the memory before they do any work


def open_trainer(settings: Mapping[str, Any], callbacks: Sequence[L.Callback] = (), **fixed: Any) -> L.Trainer:
    """A trainer from the `trainer` section of a configuration, and what no configuration may change.

    Raises:
        UserError: Lightning refuses the settings, they ask for a device without float64, or the machine has too few
            cores for them.
    """
    settings = _with_float64(settings)
    bars: list[L.Callback] = [RichProgressBar()] if settings.get("enable_progress_bar", True) else []
    try:
        # Lightning's distributed sampler repeats samples to fill the last round; ours are shared out exactly once.
        trainer = L.Trainer(**settings, **fixed, callbacks=[*bars, *callbacks], use_distributed_sampler=False)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise _refused(settings, first_line(error)) from error
    most = RANKS_PER_CORE * usable_cores()
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > most:
        raise UserError("trainer.devices", trainer.num_devices, f"this machine's cores serve at most {most} processes")
    return trainer


def _with_float64(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings that do without an Apple GPU, which has no float64 for sums over many tokens."""
    accelerator = settings.get("accelerator", "auto")
    if not MPSAccelerator.is_available():
        return settings
    if accelerator in ("gpu", "mps"):
        raise UserError("trainer.accelerator", accelerator, "is a device without float64 here; use cpu")
    return {**settings, "accelerator": "cpu"} if accelerator == "auto" else settings


def _refused(settings: Mapping[str, Any], reason: str) -> UserError:
    """What Lightning refuses: the setting that its reason is about, where it says so, or all of them."""
    told = reason.lower()
    blamed = [name for name, value in settings.items() if f"{name}={value}" in told]
    blamed = blamed or [name for name, value in settings.items() if name in told or f"'{value}'".lower() in told]
    if len(blamed) == 1:
        return UserError(f"trainer.{blamed[0]}", settings[blamed[0]], f"is refused by Lightning ({reason})")
    given = "{" + ", ".join(f"{name}: {value}" for name, value in settings.items()) + "}"
    return UserError("trainer", given, f"Lightning cannot run with these settings ({reason})")
