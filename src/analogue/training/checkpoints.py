"""Checkpoints: written whole, the newest kept, and gone on from only by a run of the same settings."""

import io
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import OmegaConf

from analogue.atomic import atomic_write
from analogue.cli.schema import TrainSAEConfig
from analogue.errors import UserError
from analogue.results import flatten

LAST = "last"
SETTINGS = "train_sae_settings"
# What may change between a run that was stopped and the one that goes on: no weight depends on it.
FREE = ("ckpt_path", "output_dir", "trainer", "logger", "upload", "checkpoints", "evaluation", "model.device_map")
FREE_DATA = ("data.held_out_path", "data.held_out_split", "data.activations", "data.cache_dir")


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it.

    Lightning writes to the system's temporary directory; where that is another file system, what it does next is a
    copy, and a process killed meanwhile leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()  # torch tells a full disk by an error of its own; a plain write by one that names it
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class RecordSettings(L.Callback):
    """Notes in each checkpoint the settings that its weights depend on."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[SETTINGS] = self.settings


def newest_checkpoints(directory: Path, every_steps: int, keep: int) -> ModelCheckpoint:
    """Write a checkpoint every so many steps, each whole or not at all, and keep the newest."""
    return ModelCheckpoint(
        dirpath=directory,
        filename="{step}",
        monitor="step",
        mode="max",
        every_n_train_steps=every_steps,
        save_top_k=keep,
        enable_version_counter=False,
    )


def newest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint that was written last; None where there is none.

    Not that of the most steps: a longer run of other settings may have left its own there.
    """
    found = [path for path in directory.glob("step=*.ckpt") if _n_steps(path).isdecimal()]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, int(_n_steps(path))), default=None)


def settings_of_weights(config: TrainSAEConfig) -> dict[str, Any]:
    """The settings that trained weights depend on, by their dotted keys."""
    container: Any = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    return {key: value for key, value in flatten(container).items() if not key.startswith(FREE + FREE_DATA)}


def checkpoint_to_resume(config: TrainSAEConfig, directory: Path) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Raises:
        UserError: it is not there, cannot be read, or was written by a run of other settings.
    """
    given = config.ckpt_path
    if given is None:
        return None
    path = newest_checkpoint(directory) if given == LAST else Path(given)
    if path is None or not path.is_file():
        problem = f"is not there; give a checkpoint's path, or leave it out to begin anew ({directory} was looked at)"
        raise UserError("ckpt_path", given, problem)
    was, now = _recorded_settings(path), settings_of_weights(config)
    changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    if changed:
        told = ", ".join(f"{key}={was.get(key)}" for key in changed)
        raise UserError("ckpt_path", path, f"is of a run with {told}; go on with that, or leave it out to begin anew")
    return path


def _recorded_settings(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)[SETTINGS]
    except Exception as error:  # torch tells a file of another kind in many ways
        raise UserError("ckpt_path", path, "is no checkpoint of train_sae.py that can be read") from error


def _n_steps(path: Path) -> str:
    return path.stem.removeprefix("step=")
