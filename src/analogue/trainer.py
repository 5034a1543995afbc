"""Lightning trainers that do what this package needs of them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar

from analogue.cores import usable_cores
from analogue.errors import InvalidArgument, first_line, renamed_arguments
from analogue.quiet import quiet_libraries

DEVICES = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}
PRECISIONS = ("32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
"""Those in which weights keep their own precision; the others would convert SAEs behind their backs."""
FORKING: tuple[str, ...] = ("ddp_spawn", "ddp_fork", "ddp_notebook")
FORKING += tuple(f"ddp_{how}_find_unused_parameters_{flag}" for how in ("spawn", "fork") for flag in ("true", "false"))
SLURM_TASKS = "SLURM_NTASKS"
RANKS_PER_CORE = 4  # each loads the models for itself; more than these fill the memory before they do any work


class ProgressBar(RichProgressBar):
    """Says what is done: Lightning's own bar calls a model's pass over the text "Testing"."""

    @property
    def test_description(self) -> str:
        """Of a pass without training."""
        return "Reading text"

    @property
    def validation_description(self) -> str:
        """Of measuring while an SAE trains."""
        return "Held-out text"

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{self.train_description:{len(self.validation_description)}}"


def trainer_on(device: str, progress: bool, callbacks: Sequence[L.Callback] = (), **fixed: Any) -> L.Trainer:
    """A trainer of one process, which keeps no files unless one of the callbacks does.

    Args:
        device: `auto`, `cpu` or `cuda`.
        progress: whether it shows a progress bar.
        callbacks: further callbacks.
        fixed: further arguments of `lightning.Trainer`.

    Raises:
        InvalidArgument: there is no such device, or it does not support float64.
    """
    settings = {
        "accelerator": accelerator_of(device),
        "devices": 1,
        "enable_progress_bar": progress,
        "enable_checkpointing": any(isinstance(each, Checkpoint) for each in callbacks),
        "enable_model_summary": False,
    }
    with renamed_arguments(**{"trainer.accelerator": "device"}):
        return open_trainer(settings, callbacks, **{"logger": False} | fixed)


def check_precision(trainer: L.Trainer, fix: str) -> None:
    """Raise `InvalidArgument` if the trainer converts weights; the error ends with the fix."""
    if trainer.precision not in PRECISIONS:
        problem = f"converts the weights of all modules; use {', '.join(PRECISIONS)}{fix}"
        raise InvalidArgument("trainer.precision", trainer.precision, problem)


def check_whole_passes(trainer: L.Trainer) -> None:
    """Raise `InvalidArgument` if a pass of the trainer's `test` would leave a part of the text out."""
    fix = "would leave out a part of the text; leave it out, and choose less text by `n_sequences`"
    for name, every in (("fast_dev_run", False), ("overfit_batches", 0), ("limit_test_batches", 1.0)):
        given = getattr(trainer, name)
        if given != every or (every == 1.0 and isinstance(given, int)):  # 1 is one batch, 1.0 all of them
            raise InvalidArgument(f"trainer.{name}", given, fix)


def accelerator_of(device: str) -> str:
    """What Lightning calls a device: `auto`, `cpu` or `cuda`.

    Raises:
        InvalidArgument: there is no such device.
    """
    if str(device) not in DEVICES:
        raise InvalidArgument("device", device, f"is not a device; choose from {', '.join(DEVICES)}")
    if str(device) == "cuda" and not CUDAAccelerator.is_available():
        raise InvalidArgument("device", device, "is not there; choose cpu, or auto for whatever there is")
    return DEVICES[str(device)]


def open_trainer(settings: Mapping[str, Any], callbacks: Sequence[L.Callback] = (), **fixed: Any) -> L.Trainer:
    """A trainer with the settings given, and with those that no user may change.

    Args:
        settings: arguments of `lightning.Trainer`.
        callbacks: further callbacks.
        fixed: arguments of `lightning.Trainer` that the caller decides.

    Raises:
        InvalidArgument: Lightning refuses the settings, they ask for a device without float64, or the machine has too
            few cores for them. The error names the setting: `trainer.devices`.
    """
    if settings.get("strategy") in FORKING:
        problem = "starts ranks by copying this process, which its models do not survive; use ddp or auto"
        raise InvalidArgument("trainer.strategy", settings["strategy"], problem)
    settings = _with_float64(settings)
    if SLURM_TASKS in os.environ and not _started_by_srun() and not settings.get("plugins"):
        fixed["plugins"] = [*fixed.get("plugins", ()), LightningEnvironment()]  # or it would wait for the other tasks
    bars: list[L.Callback] = [ProgressBar()] if settings.get("enable_progress_bar", True) else []
    try:
        with quiet_libraries():
            # Lightning's distributed sampler repeats samples to fill the last round; ours are shared out exactly once.
            trainer = L.Trainer(**settings, **fixed, callbacks=[*bars, *callbacks], use_distributed_sampler=False)
    except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise _refused(settings, first_line(error)) from error
    most = RANKS_PER_CORE * usable_cores()
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > most:
        problem = f"this machine's cores serve at most {most} processes"
        raise InvalidArgument("trainer.devices", trainer.num_devices, problem)
    _check_nodes(trainer)
    _check_tasks(trainer)
    return trainer


def _check_nodes(trainer: L.Trainer) -> None:
    """Raise `InvalidArgument` if the trainer would wait for ever for machines on which nobody starts it."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    started = {"NODE_RANK", "GROUP_RANK"} & os.environ.keys()
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and not started:
        problem = "needs a launcher that starts this command on every machine, such as srun or torchrun"
        raise InvalidArgument("trainer.num_nodes", trainer.num_nodes, problem)


def _started_by_srun() -> bool:
    """Whether SLURM has started this process as one of a job step's tasks, and not as the job's script alone."""
    return "SLURM_STEP_ID" in os.environ


def _check_tasks(trainer: L.Trainer) -> None:
    """Raise `InvalidArgument` if several tasks of SLURM would each do the whole work."""
    n_tasks = os.environ.get(SLURM_TASKS, "1") if _started_by_srun() else "1"
    if n_tasks.isdecimal() and int(n_tasks) > 1 == trainer.world_size:
        problem = f"is one process, but srun has started {n_tasks}; let them share the work"
        fix = f"trainer.devices={n_tasks} trainer.strategy=ddp with --ntasks-per-node={n_tasks}"
        raise InvalidArgument("trainer.devices", trainer.num_devices, f"{problem} ({fix}), or use --ntasks=1")


def _with_float64(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings that do without an Apple GPU, which has no float64 for sums over many tokens."""
    accelerator = settings.get("accelerator", "auto")
    if not MPSAccelerator.is_available():
        return settings
    if accelerator in ("gpu", "mps"):
        raise InvalidArgument("trainer.accelerator", accelerator, "does not support float64 on this machine; use cpu")
    return {**settings, "accelerator": "cpu"} if accelerator == "auto" else settings


def _refused(settings: Mapping[str, Any], reason: str) -> InvalidArgument:
    """What Lightning refuses: the setting that its reason is about, where it says so, or all of them."""
    message = reason.lower()
    blamed = [name for name, value in settings.items() if f"{name}={value}" in message]
    blamed = blamed or [name for name, value in settings.items() if name in message or f"'{value}'".lower() in message]
    if len(blamed) == 1:
        return InvalidArgument(f"trainer.{blamed[0]}", settings[blamed[0]], f"is refused by Lightning ({reason})")
    given = "{" + ", ".join(f"{name}: {value}" for name, value in settings.items()) + "}"
    return InvalidArgument("trainer", given, f"Lightning cannot run with these settings ({reason})")
