"""Conducts one training run, from configuration to SAEs on disk."""

import sys
from functools import partial
from pathlib import Path

import lightning as L
import torch
from omegaconf import DictConfig
from rich.console import Console

from analogue.cli.checks import user_errors
from analogue.cli.composition import typed
from analogue.cli.schema import TrainSAEConfig
from analogue.trainer import open_trainer
from analogue.models import LanguageModel, open_model
from analogue.reporting.tracking import log_or_warn
from analogue.training.build import new_sae
from analogue.training.checkpoints import (
    RecordSettings,
    WholeCheckpoints,
    checkpoint_to_resume,
    newest_checkpoints,
    settings_of_weights,
)
from analogue.training.checks import check_ranks, check_settings
from analogue.training.datamodule import ActivationDataModule
from analogue.training.module import SAETraining
from analogue.training.outputs import (
    checkpoint_directory,
    metadata,
    output_directory,
    quality_table,
    quality_warnings,
    write_saes,
    writing_to,
)
from analogue.training.stopping import StopOnSignal
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
    output = output_directory(config)
    resumed = checkpoint_to_resume(config, checkpoint_directory(output))
    if config.upload.repository:
        prepare_upload(config.upload.repository)
    language_model = open_language_model(config)
    d_saes = [factor * language_model.d_model for factor in config.expansion_factor]
    chosen = variants(config.layers, config.seeds, d_saes)
    module = build_module(config, chosen, language_model.d_model)
    streams = open_streams(config, language_model)
    with writing_to(output):
        trainer = _fit(cfg, config, module, streams, output, resumed)
        folders = write_saes(config, chosen, module, output) if trainer.is_global_zero else []
    if trainer.is_global_zero:
        Console().print(quality_table(config, module, output))
        for warning in quality_warnings(config, chosen, module):
            print(f"warning: {warning}", file=sys.stderr)
        if trainer.logger is not None:
            log_or_warn(lambda: trainer.logger, partial(log_saes, folders=folders))  # type: ignore
        if config.upload.repository:
            upload_saes(folders, output, config.upload.repository)
    return module


def open_language_model(config: TrainSAEConfig) -> LanguageModel:
    """The model, with its layers checked."""
    model = config.model
    with user_errors(model="model.name", device_map="model.device_map", layer="layers"):
        opened = open_model(
            model.name,
            revision=model.revision,
            hook=model.hook.value,
            randomize=model.randomize.value if model.randomize else None,
            randomize_seed=model.randomize_seed,
            device_map=model.device_map,
        )
        for layer in config.layers:
            opened.check_layer(layer)
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


def _fit(
    cfg: DictConfig,
    config: TrainSAEConfig,
    module: SAETraining,
    streams: ActivationDataModule,
    output: Path,
    resumed: Path | None,
) -> L.Trainer:
    """Train to the end, or to a signal's, and measure on held-out text what has come of it."""
    output.mkdir(parents=True, exist_ok=True)
    checkpoints = checkpoint_directory(output)
    stop = StopOnSignal(checkpoints)
    newest = newest_checkpoints(checkpoints, config.checkpoints.every_steps, config.checkpoints.keep)
    trainer = open_trainer(
        config.trainer,
        callbacks=[RecordSettings(settings_of_weights(config)), stop, newest],
        plugins=[WholeCheckpoints()],
        max_epochs=1,
        logger=open_logger(cfg, output, resumed),
        num_sanity_val_steps=0,
        val_check_interval=min(config.evaluation.every_steps, config.n_tokens // config.batch_tokens),
    )
    check_ranks(config, trainer.world_size)
    torch.set_float32_matmul_precision(config.float32_matmul_precision.value)
    trainer.fit(module, datamodule=streams, ckpt_path=resumed, weights_only=True)
    if stop.received is not None:
        if trainer.is_global_zero:
            print(f"stopped after step {trainer.global_step}; the same command with ckpt_path=last goes on")
        raise SystemExit(128 + stop.received)
    if module.evaluated_at != trainer.global_step:
        trainer.validate(module, datamodule=streams, verbose=False)
    return trainer
