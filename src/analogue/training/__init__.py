"""Activations to SAEs: the steps of a training run, and `train`, which is those steps.

settings.py     what is asked for
datamodule.py   text -> the activation streams of each rank; source.py, stream.py
sae.py          SAEs before, while and after they train; steps.py
module.py       the Lightning module; held_out.py
checkpoints.py  checkpoints, and one more when a signal stops the run
pipeline.py     `train`: these steps one after the other
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analogue.training.pipeline import TrainedSAE, train
    from analogue.training.settings import Buffer, Checkpoints, Evaluation, Optimiser, Text

__all__ = ["Buffer", "Checkpoints", "Evaluation", "Optimiser", "Text", "TrainedSAE", "train"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and nothing before: the shell needs the settings alone."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = "pipeline" if name in ("TrainedSAE", "train") else "settings"
    return getattr(import_module(f"{__name__}.{place}"), name)
