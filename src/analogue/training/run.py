"""Conducts one training run, from configuration to SAEs on disk."""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from analogue.corpus import TokenSequences, read_texts, tokenise
from analogue.errors import UserError
from analogue.models import LanguageModel, open_model
from analogue.saes import Quality
from analogue.trainer import open_trainer
from analogue.training.activations import ActivationDataModule, ActivationStream
from analogue.training.build import new_sae, save_sae
from analogue.training.config import TrainingDataConfig, TrainSAEConfig
from analogue.training.module import SAETraining


def train_saes(cfg: DictConfig) -> dict[int, Quality]:
    """Train one SAE a layer, side by side on one activation stream, and write each to `<output_dir>/layer_<layer>`.

    Returns:
        The held-out quality of the SAE of each layer.

    Raises:
        UserError: something in the configuration cannot work.
    """
    config: TrainSAEConfig = OmegaConf.to_object(cfg)  # type: ignore[assignment]
    language_model = open_model(config.model.name, config.model.revision)
    for layer in config.layers:
        language_model.check_layer(layer, key="layers")
    if config.n_tokens < config.batch_tokens:
        raise UserError("n_tokens", config.n_tokens, f"is less than one batch (batch_tokens={config.batch_tokens})")
    module = build_module(config, language_model)
    streams = build_streams(config, language_model)
    logger = instantiate(config.logger) if config.logger else False
    trainer = open_trainer(config.trainer, max_epochs=1, logger=logger, num_sanity_val_steps=0)
    trainer.fit(module, streams)
    if trainer.is_global_zero:
        write_saes(config, module)
        Console().print(quality_table(config, module.held_out))
    return module.held_out


def build_module(config: TrainSAEConfig, language_model: LanguageModel) -> SAETraining:
    """Fresh SAEs, one a layer, in their Lightning module."""
    saes = {}
    for layer in config.layers:
        metadata = {
            "model_name": config.model.name,
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "dataset_path": config.data.path,
            "context_size": config.data.seq_len,
            "seed": config.seed,
        }
        saes[layer] = new_sae(config.sae, language_model.d_model, config.seed, metadata)
    optimiser = config.optimiser
    return SAETraining(
        saes,
        optimiser.learning_rate,
        optimiser.warm_up_fraction,
        optimiser.decay_fraction,
        config.dead_after_tokens,
    )


def build_streams(config: TrainSAEConfig, language_model: LanguageModel) -> ActivationDataModule:
    """The training stream and a shorter one of held-out text, over one model."""
    model = language_model.load(config.model.dtype)
    data = config.data

    def stream(path: str, key: str, n_tokens: int, buffer_tokens: int, seed: int) -> ActivationStream:
        sequences = _all_sequences(path, key, data, language_model)
        return ActivationStream(
            sequences,
            model,
            config.layers,
            n_tokens,
            config.batch_tokens,
            buffer_tokens,
            config.buffer.sequences_per_pass,
            seed,
        )

    return ActivationDataModule(
        stream(data.path, "data.path", config.n_tokens, config.buffer.tokens, config.seed),
        stream(data.held_out_path, "data.held_out_path", data.n_held_out_tokens, config.batch_tokens, 0),
    )


def write_saes(config: TrainSAEConfig, module: SAETraining) -> None:
    """Write the SAE of each layer, with its held-out quality in its metadata."""
    for name, training in module.saes.items():
        directory = Path(config.output_dir) / f"layer_{name}"
        directory.parent.mkdir(parents=True, exist_ok=True)
        quality = module.held_out[int(name)]
        facts = {
            "n_training_tokens": config.n_tokens,
            "explained_variance": round(quality.explained_variance, 6),
            "l0": round(quality.l0, 4),
            "dead_fraction": round(quality.dead_fraction, 6),
        }
        save_sae(training.finish(), directory, facts)


def quality_table(config: TrainSAEConfig, held_out: dict[int, Quality]) -> Table:
    """Held-out quality, a row for each layer."""
    table = Table(title=f"SAEs of {config.model.name}, written to {config.output_dir}", title_justify="left")
    for heading in ("layer", "explained variance", "L0", "dead features", "held-out tokens"):
        table.add_column(heading, justify="right")
    for layer, quality in held_out.items():
        row = f"{quality.explained_variance:.3f}", f"{quality.l0:.1f}", f"{quality.dead_fraction:.1%}"
        table.add_row(str(layer), *row, str(quality.n_tokens))
    return table


def _all_sequences(path: str, key: str, data: TrainingDataConfig, language_model: LanguageModel) -> TokenSequences:
    texts = read_texts(path, key)
    every = sum(len(text) for text in texts)  # no text cuts into more sequences than it has characters
    return tokenise(texts, language_model.tokenizer, every, data.seq_len, data.packing)
