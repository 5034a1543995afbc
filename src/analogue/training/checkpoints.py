"""Checkpoints to resume from: written atomically, the newest kept, and one more when a signal stops the run."""

import io
import signal
import time
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from analogue.atomic import atomic_write
from analogue.training.settings import Checkpoints

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it.

    Lightning writes to the system's temporary directory and moves the file; to another file system, that move is a
    copy, and a process killed meanwhile leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()  # torch reports a full disk by an error of its own; a plain write by one that names it
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class Note(L.Callback):
    """Keeps plain values in each checkpoint, under a name of their own."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self.name, self.values = name, values

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[self.name] = self.values


def read_note(path: Path, name: str) -> dict[str, Any] | None:
    """What a `Note` has kept in a checkpoint; None for a file that is none, or holds no such note."""
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)[name]
    except Exception:  # torch reports a file of another kind in many ways
        return None
    return values


class NewestCheckpoints(Checkpoint):
    """Writes a checkpoint every so many steps or minutes and after the last step, and keeps the newest.

    Checkpoints of the run that this one resumes count too; those of any other run stay in the folder.

    Attributes:
        written: names of the checkpoints of this run, the newest last.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.directory = Path(checkpoints.directory)
        self.every_steps, self.keep = checkpoints.every_steps, checkpoints.keep
        self.seconds = inf if checkpoints.every_minutes is None else 60 * checkpoints.every_minutes
        self.written: list[str] = []
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        is_late = trainer.strategy.reduce_boolean_decision(time.monotonic() - self._last >= self.seconds, all=False)
        if trainer.global_step % self.every_steps and not (is_late or trainer.is_last_batch):
            return
        name = _name(trainer)
        self.written = [*(each for each in self.written if each != name), name]
        _save(trainer, self.directory)
        self._last = time.monotonic()
        self.written, old = self.written[-self.keep :], self.written[: -self.keep]
        if trainer.is_global_zero:
            for each in old:
                (self.directory / each).unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        return {"written": self.written}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.written = [*state_dict["written"]]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last = time.monotonic()
        resumed = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        if resumed is not None and resumed.parent.resolve() == self.directory.resolve():
            self.written = [*(each for each in self.written if each != resumed.name), resumed.name]


def newest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint that was written last; None if there is none.

    Not that of the most steps: a longer run of other settings may have left its own there.
    """
    found = [path for path in directory.glob("step=*.ckpt") if _n_steps(path).isdecimal()]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, int(_n_steps(path))), default=None)


def _n_steps(path: Path) -> str:
    return path.stem.removeprefix("step=")


def _name(trainer: L.Trainer) -> str:
    return f"step={trainer.global_step}.ckpt"


def _save(trainer: L.Trainer, directory: Path) -> None:
    weights_only = False  # the default; Lightning prints a message where it is left out
    trainer.save_checkpoint(directory / _name(trainer), weights_only)


class Stopped(Exception):
    """A signal has arrived while held-out text was measured."""


class StopOnSignal(L.Callback):
    """Ends training after the step in which SIGINT or SIGTERM arrives, and leaves a checkpoint of that step.

    A measurement of held-out text ends too, even after the last step, whose checkpoint `NewestCheckpoints` has written.
    If one rank receives the signal, the run ends on all of them.

    Args:
        directory: of the checkpoints.

    Attributes:
        received: the signal; None until there is one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._listen()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._listen()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self.received = self.received or signal.SIGTERM
            _save(trainer, self.directory)
            trainer.should_stop = True
            trainer.limit_val_batches = 0  # Lightning would measure on all held-out text before it stops

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self.received = self.received or signal.SIGTERM
            if trainer.state.fn == "fit":
                _save(trainer, self.directory)
            raise Stopped

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._restore()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _listen(self) -> None:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def _restore(self) -> None:
        """Put back the handlers from before training, while Lightning's own are still installed.

        Lightning then puts back those from before its own. In the other order, its handlers would stay.
        """
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
