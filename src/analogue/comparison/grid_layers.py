"""The other layers of a grid that a model's pass over the corpus takes along, for the jobs that come later."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from analogue.reporting.progress import choices

ALL = "all"


class TellLayers(Callback):
    """Hydra callback: tells every job of a multirun which layers the grid goes over (`sweep.layers_a`, `_b`)."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        spanned = choices(config.hydra) or {}
        for side in ("a", "b"):
            if f"layer_{side}" in spanned and f"sweep.layers_{side}" not in spanned:
                layers = ",".join(spanned[f"layer_{side}"])
                config.hydra.overrides.task.append(f"sweep.layers_{side}=[{layers}]")
