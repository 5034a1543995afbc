"""The typed shape of `conf/compare.yaml`; every default stands in the YAML, none here."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

Direction = Enum("Direction", {"a_to_b": "a_to_b", "b_to_a": "b_to_a"})
OneToOne = Enum("OneToOne", {"best": "best", "first": "first"})


@dataclass
class ModelConfig:
    """A language model: hub id, local directory or `embedded:` name."""

    name: str = MISSING
    revision: str | None = MISSING
    dtype: str = MISSING


@dataclass
class SAEConfig:
    """An SAE directory; `{layer}` in the path stands for the layer compared."""

    path: str = MISSING
    dtype: str = MISSING


@dataclass
class DataConfig:
    """The text that both models read."""

    path: str = MISSING
    n_sequences: int = MISSING
    seq_len: int = MISSING
    batch_size: int = MISSING
    packing: bool = MISSING


@dataclass
class MatchingConfig:
    """How features are paired."""

    direction: Direction = MISSING


@dataclass
class FiltersConfig:
    """Which pairs count; null or false switches a filter off."""

    top_tokens: int = MISSING
    concept_tokens: bool = MISSING
    non_concept_tokens: list[str] = MISSING
    shared_token: bool = MISSING
    minimum_firing_count: int | None = MISSING
    one_to_one: OneToOne | None = MISSING
    minimum_correlation: float | None = MISSING


@dataclass
class NullConfig:
    """The null distribution."""

    n: int = MISSING


@dataclass
class CacheConfig:
    """The activation store."""

    enabled: bool = MISSING
    dir: str | None = MISSING
    max_gb: float = MISSING


@dataclass
class CompareConfig:
    """Everything that one comparison depends on."""

    model_a: ModelConfig = MISSING
    model_b: ModelConfig = MISSING
    sae_a: SAEConfig = MISSING
    sae_b: SAEConfig = MISSING
    layer_a: int = MISSING
    layer_b: int = MISSING
    data: DataConfig = MISSING
    matching: MatchingConfig = MISSING
    filters: FiltersConfig = MISSING
    metrics: list[str] = MISSING
    null: NullConfig = MISSING
    seed: int = MISSING
    cache: CacheConfig = MISSING
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    output_dir: str = MISSING


ConfigStore.instance().store("compare_schema", CompareConfig)
