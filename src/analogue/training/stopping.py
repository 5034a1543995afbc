"""Ending a training run early, so that it can go on later as if nothing had happened."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(L.Callback):
    """Ends training after the step in which SIGINT or SIGTERM arrives, and leaves a checkpoint of that step.

    One rank that receives it ends the run on all of them.

    Args:
        directory: of the checkpoints.

    Attributes:
        received: the signal; None while there was none.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self.received = self.received or signal.SIGTERM
            trainer.save_checkpoint(self.directory / f"step={trainer.global_step}.ckpt")
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        """Before Lightning puts back what was there before its own handlers; later would put back Lightning's."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
