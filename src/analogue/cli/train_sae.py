"""`analogue train-sae`, `train_sae.py`: a training run as the configuration asks for it."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from omegaconf import DictConfig, OmegaConf

from analogue.cli.composition import instantiated, plain, typed
from analogue.cli.conf import TRAIN_SAE
from analogue.cli.keys import naming_keys, section, with_keys
from analogue.cli.run import in_multirun, run
from analogue.cli.schema import TrainSAEConfig
from analogue.cli.upload import prepare_upload, upload_saes
from analogue.errors import ArgumentError, UserError, check_folder, check_path
from analogue.settings import Text
from analogue.training.settings import (
    Buffer,
    Checkpoints,
    Evaluation,
    Optimiser,
    TrainingPlan,
    sizes_by_length,
)

if TYPE_CHECKING:
    import lightning as L

    from analogue.training.pipeline import TrainedSAE

T = TypeVar("T")

_DATA = (
    "subset",
    "split",
    "column",
    "shuffle_seed",
    "seq_len",
    "packing",
    "exclude_bos",
    "exclude_special",
    "exclude_outliers",
    "cache_dir",
)
_UNDER_THEIR_OWN_NAMES = (
    "b_dec_init_method",
    "batch_tokens",
    "ckpt_path",
    "evaluation.every_steps",
    "expansion_factor",
    "n_tokens",
    "optimiser.learning_rate",
)
KEYS: dict[str, str] = {
    "model": "model.name",
    "dtype": "model.dtype",
    "device_map": "model.device_map",
    "gguf_file": "model.gguf_file",
    "hook": "model.hook",
    "architecture": "sae.architecture",
    "settings": "sae.settings",
    "frozen_decoder": "sae.frozen_decoder",
    "corpus": "data.path",
    "held_out": "data.held_out_path",
    **{name: f"data.{name}" for name in _DATA},
    "device": "trainer.accelerator",
    "buffer": "buffer.tokens",
    "repository": "upload.repository",
    **{name: name for name in _UNDER_THEIR_OWN_NAMES},
}
"""By the names of the arguments of `analogue.training.train`."""
DECIDED_ELSEWHERE = {  # settings of Lightning's trainer that would contradict another key
    "max_epochs": "n_tokens",
    "max_steps": "n_tokens",
    "min_epochs": "n_tokens",
    "min_steps": "n_tokens",
    "max_time": "n_tokens",
    "limit_train_batches": "n_tokens",
    "overfit_batches": "n_tokens",
    "fast_dev_run": "n_tokens",
    "accumulate_grad_batches": "batch_tokens",
    "limit_val_batches": "evaluation.n_tokens",
    "val_check_interval": "evaluation.every_steps",
    "check_val_every_n_epoch": "evaluation.every_steps",
    "enable_checkpointing": "checkpoints.every_steps",
    "callbacks": "callbacks",
    "logger": "logger",
}
DEFAULT_OUTPUT = "saes"
LAST = "last"
UNFINISHED = "unfinished"
RECORDED = "train_sae_settings"
# Settings that may change when a stopped run is resumed: no weight depends on them.
FREE = (
    *("ckpt_path", "output_dir", "trainer", "logger", "callbacks", "upload", "checkpoints", "evaluation"),
    *("model.device_map", "data.held_out_path", "data.held_out_split", "data.activations", "data.cache_dir"),
)


def main(*subcommand: str) -> NoReturn:
    """Run the jobs of the command line, and end the process; see `analogue.cli.run.run`."""
    run(training_job, TRAIN_SAE, subcommand)


def training_job(cfg: DictConfig) -> None:
    """One job; its language model is gone from memory afterwards."""
    train_saes(cfg)
    gc.collect()  # trainer and module refer to each other


def train_saes(cfg: DictConfig) -> "list[TrainedSAE]":
    """Train SAEs, write each to `<output_dir>/<its name>`, and print, log and upload them.

    Raises:
        UserError: something in the configuration cannot work, or training has gone wrong.
        SystemExit: SIGINT or SIGTERM has stopped it, after a checkpoint.
    """
    config = typed(cfg, TrainSAEConfig)
    output = output_directory(config)
    with naming_keys(KEYS):
        check_folder("output_dir", output)
        plan = plan_of(config)
        with section("checkpoints"):
            checkpoints = Checkpoints(output / "checkpoints", **vars(config.checkpoints))
        ckpt_path = checkpoint_to_resume(config, Path(checkpoints.directory))
        if config.upload.repository:
            prepare_upload(config.upload.repository)
        return _trained(cfg, config, plan, output, checkpoints, ckpt_path)


def plan_of(config: TrainSAEConfig) -> TrainingPlan:
    """What the configuration asks for, checked.

    Raises:
        ArgumentError: a value that cannot work.
        UserError: the same, of a section of the configuration.
    """
    for name, key in DECIDED_ELSEWHERE.items():
        if name in config.trainer:
            raise UserError(f"trainer.{name}", config.trainer[name], f"is decided by {key}; set that")
    data = config.data
    return TrainingPlan(
        layers=config.layers,
        seeds=config.seeds,
        expansion_factor=config.expansion_factor,
        architecture=config.sae.architecture,
        settings=config.sae.settings,
        frozen_decoder=config.sae.frozen_decoder,
        n_tokens=config.n_tokens,
        **sizes_by_length(config.n_tokens, config.batch_tokens, config.dead_after_tokens),
        seq_len=data.seq_len,
        packing=data.packing,
        exclude_bos=data.exclude_bos,
        exclude_special=data.exclude_special,
        exclude_outliers=data.exclude_outliers,
        b_dec_init_method=config.b_dec_init_method.value,
        seed=config.seed,
        dtype=config.model.dtype,
        optimiser=_made(Optimiser, "optimiser", vars(config.optimiser) | {"function": _optimiser_function(config)}),
        buffer=_made(Buffer, "buffer", vars(config.buffer)),
        evaluation=_made(Evaluation, "evaluation", vars(config.evaluation)),
        cache_dir=_cache_directory(config),
    )


def texts_of(config: TrainSAEConfig) -> tuple[Text, Text]:
    """The text to train on, and the text to measure on."""
    data = config.data
    return (
        Text(data.path, data.subset, data.split, data.column, data.shuffle_seed),
        Text(data.held_out_path, data.subset, data.held_out_split, data.column, data.shuffle_seed),
    )


def open_language_model(config: TrainSAEConfig) -> Any:
    """The language model, whose weights are not read yet."""
    from analogue.models import open_model

    settings = {name: value for name, value in vars(config.model).items() if name not in ("name", "dtype")}
    return open_model(config.model.name, **settings)


def output_directory(config: TrainSAEConfig) -> Path:
    """Where the SAEs go: `saes` for a run of its own, the job's folder within a multirun, unless it is given."""
    from hydra.core.hydra_config import HydraConfig

    if config.output_dir is not None:
        return Path(config.output_dir)
    return Path(HydraConfig.get().runtime.output_dir) if in_multirun() else Path(DEFAULT_OUTPUT)


def checkpoint_to_resume(config: TrainSAEConfig, directory: Path) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Raises:
        UserError: it is not there, cannot be read, or was written by a run of other settings.
    """
    from analogue.training.checkpoints import newest_checkpoint, read_note

    given = config.ckpt_path
    if given is None:
        return None
    check_path("ckpt_path", given)
    path = newest_checkpoint(directory) if given == LAST else Path(given)
    if path is None or not path.is_file():
        problem = f"is not there; give a checkpoint's path, or leave it out to begin anew ({directory} was searched)"
        raise UserError("ckpt_path", given, problem)
    was, now = read_note(path, RECORDED), settings_of_weights(config)
    if was is None:
        raise UserError("ckpt_path", path, "is no checkpoint of analogue train-sae that can be read")
    changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    if changed:
        settings = ", ".join(f"{key}={'null' if was.get(key) is None else was[key]}" for key in changed)
        problem = f"is of a run with {settings}; go on with that, or leave it out to begin anew"
        raise UserError("ckpt_path", path, problem)
    return path


def settings_of_weights(config: TrainSAEConfig) -> dict[str, Any]:
    """The settings that trained weights depend on, by their dotted keys."""
    from analogue.results import flatten

    container: Any = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    return {key: value for key, value in flatten(container).items() if not key.startswith(FREE)}


def _trained(
    cfg: DictConfig,
    config: TrainSAEConfig,
    plan: TrainingPlan,
    output: Path,
    checkpoints: Checkpoints,
    ckpt_path: Path | None,
) -> "list[TrainedSAE]":
    import torch

    from analogue.reporting.tracking import log_or_warn
    from analogue.trainer import open_trainer
    from analogue.training.checkpoints import NewestCheckpoints, Note, StopOnSignal, Stopped
    from analogue.training.pipeline import (
        check_trainer,
        finish,
        fit,
        prepare,
        quality_warnings,
        trainer_settings,
        unfinished_saes,
    )
    from analogue.training.progress import chosen, progress_lines, shows_lines, too_few_tokens
    from analogue.training.sae import save_sae

    stop = StopOnSignal(Path(checkpoints.directory))
    note = Note(RECORDED, settings_of_weights(config))
    lines = progress_lines(plan.batch_tokens, output, config.trainer.get("enable_progress_bar", True))
    callbacks = [note, stop, *lines, NewestCheckpoints(checkpoints), *_own_callbacks(cfg, output)]
    shown = {"enable_progress_bar": False} if shows_lines() else {}  # lines stand in for a bar that nobody sees
    trainer = open_trainer(config.trainer | shown, callbacks, **trainer_settings(plan))
    check_trainer(trainer, plan)
    language_model = open_language_model(config)
    module, data = prepare(plan, language_model, *texts_of(config))
    with _writing_to(output, Path(checkpoints.directory)):
        output.mkdir(parents=True, exist_ok=True)
        trainer.logger = open_logger(cfg, output, ckpt_path)
        torch.set_float32_matmul_precision(config.float32_matmul_precision.value)
        if trainer.is_global_zero:
            if ckpt_path is None and any((output / each.name).exists() for each in plan.saes(language_model.d_model)):
                print(f"warning: {output} holds SAEs of an earlier run, which this one replaces", file=sys.stderr)
            print(chosen(plan, language_model.d_model))
            if few := too_few_tokens(plan, language_model.d_model):
                print(f"warning: {with_keys(few, KEYS)}", file=sys.stderr)
        trained = []
        with suppress(Stopped):
            fit(trainer, module, data, ckpt_path)
            if stop.received is None:
                trained = finish(trainer, module, data)
        if stop.received is not None:
            if trainer.is_global_zero:
                for name, sae in unfinished_saes(trainer, module, plan).items():
                    save_sae(sae, output / UNFINISHED / name)
                print(f"stopped after step {trainer.global_step}; the same command with ckpt_path=last goes on")
                print(f"the SAEs so far are in {output / UNFINISHED}")
            raise SystemExit(128 + stop.received)
        if not trainer.is_global_zero:
            return trained
        for each in trained:
            each.save(output / each.name)
        rmtree(output / UNFINISHED, ignore_errors=True)  # of a run that was stopped, and has now gone on to its end
    _print_quality(trained, f"SAEs of {language_model.name}, written to {output}")
    for each in trained:
        for warning in quality_warnings(each, plan, language_model):
            print(f"warning: {with_keys(warning, KEYS)}", file=sys.stderr)
    folders = [output / each.name for each in trained]
    if trainer.logger is not None:
        log_or_warn(lambda: trainer.logger, partial(_log_saes, folders=folders))  # type: ignore[arg-type, return-value]
    if config.upload.repository:
        upload_saes(folders, output, config.upload.repository)
    return trained


def _made(kind: Callable[..., T], name: str, values: Mapping[str, Any]) -> T:
    with section(name):
        return kind(**values)


def _optimiser_function(config: TrainSAEConfig) -> Any:
    given = config.optimiser.function
    return instantiated({**given, "_partial_": True}, "optimiser.function", given)


def _own_callbacks(cfg: DictConfig, output: Path) -> "list[L.Callback]":
    """The configured callbacks; `${output_dir}` in their settings is the directory of the SAEs."""
    import lightning as L

    placed = OmegaConf.merge(cfg, {"output_dir": str(output)})
    callbacks = {name: instantiated(settings, f"callbacks.{name}") for name, settings in placed.callbacks.items()}
    for name, callback in callbacks.items():
        if not isinstance(callback, L.Callback):
            raise UserError(f"callbacks.{name}", placed.callbacks[name], "is not a Lightning callback")
    return [*callbacks.values()]


def _cache_directory(config: TrainSAEConfig) -> Path | None:
    from platformdirs import user_cache_path

    if config.data.activations.value == "live":
        return None
    given = config.data.cache_dir
    return Path(given) if given else user_cache_path("analogue") / "training"


@contextmanager
def _writing_to(output: Path, checkpoints: Path) -> Iterator[None]:
    """Explain that the output directory cannot be written to.

    Raises:
        UserError: naming the checkpoint to go on from, where there is one.
    """
    from safetensors import SafetensorError

    from analogue.training.checkpoints import newest_checkpoint

    try:
        yield
    except ArgumentError:
        raise
    except (OSError, SafetensorError) as error:
        left = newest_checkpoint(checkpoints)
        advice = "make room, and the same command with ckpt_path=last goes on" if left else "choose another directory"
        reason = getattr(error, "strerror", None) or error
        raise UserError("output_dir", str(output), f"cannot be written to ({reason}); {advice}") from error


def _print_quality(trained: "Sequence[TrainedSAE]", title: str) -> None:
    """Held-out quality, a row per SAE."""
    from rich.table import Table

    from analogue.reporting.console import plain_console

    table = Table(title=title, title_justify="left")
    for heading in ("SAE", "explained variance", "loss recovered", "L0", "dead"):
        table.add_column(heading, justify="left" if heading == "SAE" else "right", no_wrap=heading == "SAE")
    for each in trained:
        quality = each.quality
        numbers = f"{quality.explained_variance:.3f}", f"{quality.cross_entropy_recovered:.3f}", f"{quality.l0:.1f}"
        table.add_row(each.name, *numbers, f"{quality.dead_fraction:.1%}")
    plain_console().print(table)


def open_logger(cfg: DictConfig, output: Path, ckpt_path: Path | None) -> Any:
    """The configured logger, writing beside the SAEs; None for none, or if it cannot be opened."""
    from analogue.cli.logger import configured_logger
    from analogue.reporting.tracking import abandon_run, check_server, error_message
    from analogue.results import flatten

    if not cfg.logger:
        return None
    abandon_run()  # of an earlier job of this process that has failed
    settings = plain(cfg)
    del settings["logger"]
    # Lightning's CSV logger deletes the rows that it finds: a run that goes on has a folder of its own.
    place = {"version": f"from_{ckpt_path.stem}"} if ckpt_path and "version" in cfg.logger else {}
    try:
        logger = configured_logger(cfg.logger, save_dir=str(output), **place)
        check_server(logger)
        logger.log_hyperparams(flatten(settings))  # W&B reaches for its server here
    except Exception as error:  # any failure of a server or an account: training needs neither
        abandon_run(error)
        print(f"warning: nothing is logged: {cfg.logger._target_} failed ({error_message(error)})", file=sys.stderr)
        return None
    return logger


def _log_saes(logger: Any, folders: list[Path]) -> None:
    """SAEs as W&B artifacts; other loggers have no place for them."""
    from lightning.pytorch.loggers import WandbLogger

    from analogue.reporting.tracking import log_sae
    from analogue.saes import load, sae_fingerprint

    if not isinstance(logger, WandbLogger):
        return
    for folder in folders:
        sae = load(path=str(folder))  # read back as `compare.py` reads it, so that both give it the same name
        log_sae(logger, folder, sae_fingerprint(sae), sae.cfg.metadata.to_dict())
