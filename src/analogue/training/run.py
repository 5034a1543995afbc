"""Conducts one training run, from configuration to SAEs on disk."""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from analogue.composition import typed
from analogue.errors import UserError
from analogue.models import LanguageModel, open_model
from analogue.reporting.tracking import log_or_warn
from analogue.trainer import open_trainer
from analogue.training.build import new_sae
from analogue.training.checks import check_settings
from analogue.training.config import TrainSAEConfig
from analogue.training.module import SAETraining
from analogue.training.outputs import metadata, output_directory, quality_table, write_saes
from analogue.training.stopping import StopOnSignal, newest_checkpoint, newest_checkpoints
from analogue.training.streams import open_streams
from analogue.training.tracking import log_saes, open_logger
from analogue.training.under_training import SAEUnderTraining
from analogue.training.upload import prepare_upload, upload_saes
from analogue.training.variants import Variant, variants


def train_saes(cfg: DictConfig) -> SAETraining:
    """Train SAEs side by side on one activation stream, and write each to `<output_dir>/<its name>`.

    Returns:
        The trained SAEs, with what was measured of them on held-out text.

    Raises:
        UserError: something in the configuration cannot work, or training has gone wrong.
        SystemExit: SIGINT or SIGTERM has stopped it, after a checkpoint.
    """
    config = typed(cfg, TrainSAEConfig)
    check_settings(config)
    if config.upload.repository:
        prepare_upload(config.upload.repository)
    language_model = open_language_model(config)
    output = output_directory(config)
    chosen = variants(
        config.layers, config.seeds, [factor * language_model.d_model for factor in config.expansion_factor]
    )
    module = build_module(config, chosen, language_model.d_model)
    streams = open_streams(config, language_model)
    stop = StopOnSignal(output / "checkpoints")
    checkpoints = newest_checkpoints(stop.directory, config.checkpoints.every_steps, config.checkpoints.keep)
    trainer = open_trainer(
        config.trainer,
        callbacks=[stop, checkpoints],
        max_epochs=1,
        logger=open_logger(cfg, output),
        num_sanity_val_steps=0,
        val_check_interval=min(config.evaluation.every_steps, config.n_tokens // config.batch_tokens),
    )
    try:
        trainer.fit(module, datamodule=streams, ckpt_path=checkpoint(config, stop.directory), weights_only=True)
    except OSError as error:
        left = newest_checkpoint(stop.directory)
        problem = f"cannot be written to ({error.strerror}); " + (
            f"ckpt_path={left} goes on" if left else "free some space"
        )
        raise UserError("output_dir", str(output), problem) from error
    if stop.received is not None:
        print(f"stopped after step {trainer.global_step}; the same command with ckpt_path=last goes on")
        raise SystemExit(128 + stop.received)
    trainer.validate(module, datamodule=streams, verbose=False)
    if trainer.is_global_zero:
        folders = write_saes(config, chosen, module, output)
        Console().print(quality_table(config, module, output))
        if trainer.logger is not None:
            log_or_warn(lambda: trainer.logger, partial(log_saes, folders=folders))  # type: ignore
        if config.upload.repository:
            upload_saes(folders, output, config.upload.repository)
    return module


def open_language_model(config: TrainSAEConfig) -> LanguageModel:
    """The model, with its layers checked."""
    model = config.model
    opened = open_model(
        model.name,
        model.revision,
        hook=model.hook.value,
        randomize=model.randomize.value if model.randomize else None,
        randomize_seed=model.randomize_seed,
        device_map=model.device_map,
    )
    for layer in config.layers:
        opened.check_layer(layer, key="layers")
    return opened


def build_module(config: TrainSAEConfig, chosen: list[Variant], d_model: int) -> SAETraining:
    """Fresh SAEs in their Lightning module."""
    optimiser, n_steps = config.optimiser, config.n_tokens // config.batch_tokens
    sparsity_warm_up = round(optimiser.sparsity_warm_up_fraction * n_steps)
    saes = {
        each.name: SAEUnderTraining(
            new_sae(config.sae, d_model, each.d_sae, each.seed, sparsity_warm_up, metadata(config, each)),
            each.layer,
            config.dead_after_tokens,
        )
        for each in chosen
    }
    warm_up, decay = (round(share * n_steps) for share in (optimiser.warm_up_fraction, optimiser.decay_fraction))
    return SAETraining(saes, optimiser.learning_rate, warm_up, decay)


def checkpoint(config: TrainSAEConfig, directory: Path) -> Path | None:
    """The checkpoint to go on from; None to begin."""
    if config.ckpt_path is None:
        return None
    path = newest_checkpoint(directory) if config.ckpt_path == "last" else Path(config.ckpt_path)
    if path is None or not path.is_file():
        problem = f"is not there; give a checkpoint's path, or leave it out to begin anew ({directory} was looked at)"
        raise UserError("ckpt_path", config.ckpt_path, problem)
    return path
