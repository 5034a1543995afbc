"""The typed shape of `conf/train_sae.yaml`; every default stands in the YAML, none here."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from analogue.comparison.config import ModelConfig


@dataclass
class ArchitectureConfig:
    """An SAE to train. `settings` are fields of SAELens's training configuration for that architecture."""

    architecture: str = MISSING
    expansion_factor: int = MISSING
    settings: dict[str, Any] = MISSING


@dataclass
class TrainingDataConfig:
    """Training text, and text for the held-out evaluation that no SAE trains on."""

    path: str = MISSING
    held_out_path: str = MISSING
    seq_len: int = MISSING
    packing: bool = MISSING
    n_held_out_tokens: int = MISSING


@dataclass
class BufferConfig:
    """The shuffle buffer between model and SAE."""

    tokens: int = MISSING
    sequences_per_pass: int = MISSING


@dataclass
class OptimiserConfig:
    """Adam with linear warm-up and a final linear decay, as fractions of all steps."""

    learning_rate: float = MISSING
    warm_up_fraction: float = MISSING
    decay_fraction: float = MISSING


@dataclass
class TrainSAEConfig:
    """Everything that a training run depends on."""

    model: ModelConfig = MISSING
    layers: list[int] = MISSING
    sae: ArchitectureConfig = MISSING
    data: TrainingDataConfig = MISSING
    buffer: BufferConfig = MISSING
    optimiser: OptimiserConfig = MISSING
    n_tokens: int = MISSING
    batch_tokens: int = MISSING
    dead_after_tokens: int = MISSING
    seed: int = MISSING
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    output_dir: str = MISSING


ConfigStore.instance().store("train_sae_schema", TrainSAEConfig)
