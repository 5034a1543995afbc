"""Lightning trainers as the configuration describes them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import RichProgressBar

from analogue.errors import UserError

RANKS_PER_CORE = 4  # each loads the models for itself; more than these fill the memory before they do any work


def open_trainer(settings: Mapping[str, Any], callbacks: Sequence[L.Callback] = (), **fixed: Any) -> L.Trainer:
    """A trainer from the `trainer` section of a configuration, and what no configuration may change.

    Raises:
        UserError: Lightning refuses the settings, or the machine has too few cores for them.
    """
    bars: list[L.Callback] = [RichProgressBar()] if settings.get("enable_progress_bar", True) else []
    try:
        # Lightning's distributed sampler repeats samples to fill the last round; ours are shared out exactly once.
        trainer = L.Trainer(**settings, **fixed, callbacks=[*bars, *callbacks], use_distributed_sampler=False)
    except (MisconfigurationException, TypeError, ValueError) as error:
        given = "{" + ", ".join(f"{name}: {value}" for name, value in settings.items()) + "}"
        raise UserError("trainer", given, f"Lightning cannot run with these settings ({error})") from error
    most = RANKS_PER_CORE * (os.cpu_count() or 1)
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > most:
        raise UserError("trainer.devices", trainer.num_devices, f"this machine's cores serve at most {most} processes")
    return trainer
