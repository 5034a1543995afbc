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

from analogue.settings import Text
from analogue.training.settings import Buffer, Checkpoints, Evaluation, Optimiser

if TYPE_CHECKING:
    from analogue.training.pipeline import TrainedSAE, train

__all__ = ["Buffer", "Checkpoints", "Evaluation", "Optimiser", "Text", "TrainedSAE", "train"]


def __getattr__(name: str) -> Any:
    """Import Lightning and SAELens when they are asked for: the shell needs the settings alone."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("analogue.training.pipeline"), name)
