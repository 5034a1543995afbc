"""The typed shape of `conf/compare.yaml`; every default stands in the YAML, none here."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from analogue.config import ModelConfig

Direction = Enum("Direction", {"a_to_b": "a_to_b", "b_to_a": "b_to_a"})
OneToOne = Enum("OneToOne", {"best": "best", "first": "first", "strict": "strict"})
Alignment = Enum("Alignment", {"tokens": "tokens", "spans": "spans"})
Aggregation = Enum("Aggregation", {"max": "max", "mean": "mean", "last": "last"})
Null = Enum("Null", {"shuffle": "shuffle", "random_pairs": "random_pairs", "rotated": "rotated"})


class Rule(Enum):
    """The pairing rules of `analogue.matching.RULES`, spelled out: to import those takes seconds."""

    max_correlation = "max_correlation"
    mutual = "mutual"
    greedy = "greedy"
    hungarian = "hungarian"
    optimal_transport = "optimal_transport"
    cosine = "cosine"


@dataclass
class SAEConfig:
    """An SAE: directory, `RELEASE:ID` or `OWNER/REPOSITORY:FOLDER`; `{layer}` stands for the layer compared."""

    path: str = MISSING
    dtype: str = MISSING
    before_topk: bool = MISSING


@dataclass
class DataConfig:
    """The text that both models read: a file, or a data set of the hub."""

    path: str = MISSING
    subset: str | None = MISSING
    split: str = MISSING
    column: str = MISSING
    shuffle_seed: int | None = MISSING
    n_sequences: int = MISSING
    seq_len: int = MISSING
    batch_size: int = MISSING
    packing: bool = MISSING
    count_padding: bool = MISSING
    exclude_bos: bool = MISSING


@dataclass
class AlignmentConfig:
    """What features are compared on: tokens, or the common spans of two tokenisations and how they are aggregated."""

    name: Alignment = MISSING
    aggregation: Aggregation = MISSING


@dataclass
class MatchingConfig:
    """How features are paired."""

    rule: Rule = MISSING
    direction: Direction = MISSING


@dataclass
class FiltersConfig:
    """Which pairs count; null or false switches a filter off."""

    top_tokens: int = MISSING
    concept_tokens: bool = MISSING
    non_concept_tokens: list[str] = MISSING
    shared_token: bool = MISSING
    minimum_firing_count: int | None = MISSING
    kept_claim: OneToOne = MISSING
    one_to_one: OneToOne | None = MISSING
    minimum_correlation: float | None = MISSING


@dataclass
class NullConfig:
    """The null distributions of the scores of the whole spaces: draws, and what is drawn."""

    n: int = MISSING
    kinds: list[Null] = MISSING


@dataclass
class ConceptsConfig:
    """Semantic subspaces: the keywords of each by its name, and the draws of their two tests."""

    name: str = MISSING
    n: int = MISSING
    keywords: dict[str, list[str]] = MISSING


@dataclass
class CacheConfig:
    """The activation store."""

    enabled: bool = MISSING
    dir: str | None = MISSING
    max_gb: float = MISSING


@dataclass
class SweepConfig:
    """Where a multirun writes, the earlier one whose finished jobs it takes over, and the layers of its grid."""

    dir: str = MISSING
    resume: str | None = MISSING
    layers_a: list[int] = MISSING
    layers_b: list[int] = MISSING


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
    alignment: AlignmentConfig = MISSING
    matching: MatchingConfig = MISSING
    filters: FiltersConfig = MISSING
    metrics: list[Any] = MISSING  # names, or mappings with _target_
    concepts: ConceptsConfig = MISSING
    null: NullConfig = MISSING
    seed: int = MISSING
    cache: CacheConfig = MISSING
    layers_per_pass: int | str = MISSING  # or `all`
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    sweep: SweepConfig = MISSING
    output_dir: str = MISSING


ConfigStore.instance().store("compare_schema", CompareConfig)
