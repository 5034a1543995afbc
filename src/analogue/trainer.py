"""Lightning trainers as the configuration describes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import RichProgressBar

from analogue.errors import UserError


def open_trainer(settings: Mapping[str, Any], callbacks: Sequence[L.Callback] = (), **fixed: Any) -> L.Trainer:
    """A trainer from the `trainer` section of a configuration, and what no configuration may change.

    Raises:
        UserError: Lightning refuses the settings.
    """
    bars: list[L.Callback] = [RichProgressBar()] if settings.get("enable_progress_bar", True) else []
    try:
        # Lightning's distributed sampler repeats samples to fill the last round; ours are shared out exactly once.
        return L.Trainer(**settings, **fixed, callbacks=[*bars, *callbacks], use_distributed_sampler=False)
    except (MisconfigurationException, TypeError, ValueError) as error:
        given = " ".join(f"{name}:{value}" for name, value in settings.items())
        raise UserError("trainer", given, f"Lightning cannot run with these settings ({error})") from error
