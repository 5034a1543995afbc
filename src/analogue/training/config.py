"""The typed shape of `conf/training/train_sae.yaml`; every default stands in the YAML, none here."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from analogue.config import ModelConfig

MatmulPrecision = Enum("MatmulPrecision", {"highest": "highest", "high": "high", "medium": "medium"})
Activations = Enum("Activations", {"live": "live", "cached": "cached"})


@dataclass
class ArchitectureConfig:
    """An SAE to train. `settings` are fields of SAELens's training configuration for that architecture."""

    architecture: str = MISSING
    settings: dict[str, Any] = MISSING


@dataclass
class TrainingDataConfig:
    """Training text, and text for the held-out evaluation that no SAE trains on."""

    path: str = MISSING
    held_out_path: str = MISSING
    subset: str | None = MISSING
    split: str = MISSING
    held_out_split: str = MISSING
    column: str = MISSING
    shuffle_seed: int | None = MISSING
    seq_len: int = MISSING
    packing: bool = MISSING
    exclude_bos: bool = MISSING
    activations: Activations = MISSING
    cache_dir: str | None = MISSING


@dataclass
class BufferConfig:
    """The shuffle buffer between model and SAE."""

    tokens: int = MISSING
    sequences_per_pass: int = MISSING


@dataclass
class OptimiserConfig:
    """Adam; linear warm-up and final linear decay, and the warm-up of the sparsity loss, as fractions of all steps."""

    learning_rate: float = MISSING
    warm_up_fraction: float = MISSING
    decay_fraction: float = MISSING
    sparsity_warm_up_fraction: float = MISSING


@dataclass
class EvaluationConfig:
    """What is measured on held-out text, and how often."""

    every_steps: int = MISSING
    n_tokens: int = MISSING
    n_sequences: int = MISSING


@dataclass
class CheckpointConfig:
    """Checkpoints to resume from: steps between two, and how many of the newest are kept."""

    every_steps: int = MISSING
    keep: int = MISSING


@dataclass
class UploadConfig:
    """The hub repository that finished SAEs are pushed to; null for none."""

    repository: str | None = MISSING


@dataclass
class TrainSAEConfig:
    """Everything that a training run depends on."""

    model: ModelConfig = MISSING
    layers: list[int] = MISSING
    seeds: list[int] = MISSING
    expansion_factor: list[int] = MISSING
    sae: ArchitectureConfig = MISSING
    data: TrainingDataConfig = MISSING
    buffer: BufferConfig = MISSING
    optimiser: OptimiserConfig = MISSING
    evaluation: EvaluationConfig = MISSING
    checkpoints: CheckpointConfig = MISSING
    upload: UploadConfig = MISSING
    n_tokens: int = MISSING
    batch_tokens: int = MISSING
    dead_after_tokens: int = MISSING
    seed: int = MISSING
    ckpt_path: str | None = MISSING
    float32_matmul_precision: MatmulPrecision = MISSING
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    output_dir: str | None = MISSING


ConfigStore.instance().store("train_sae_schema", TrainSAEConfig)
