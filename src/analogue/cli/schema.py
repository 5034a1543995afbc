"""The typed shape of the programs' configurations; every default stands in the YAML."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from analogue.options import (
    Aggregation,
    Alignment,
    DecoderBiasStart,
    DecoderRows,
    Direction,
    Hook,
    Keep,
    MetricsOn,
    NonConcept,
    NullKind,
    PairingRuleName,
    Redrawn,
    TransferParts,
)


@dataclass
class ModelConfig:
    """A language model: hub id, local directory or `embedded:` name."""

    name: str = MISSING
    revision: str | None = MISSING
    dtype: str = MISSING
    hook: Hook | None = MISSING
    randomize: Redrawn | None = MISSING
    randomize_seed: int = MISSING
    device_map: str | None = MISSING
    gguf_file: str | None = MISSING


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
    chat: bool = MISSING
    exclude_bos: bool = MISSING
    exclude_special: bool = MISSING
    exclude_outliers: float | None = MISSING


@dataclass
class AlignmentConfig:
    """What features are compared on: tokens, or the common spans of two tokenisations and how they are aggregated."""

    name: Alignment = MISSING
    aggregation: Aggregation = MISSING


@dataclass
class MatchingConfig:
    """How features are paired."""

    rule: PairingRuleName = MISSING
    direction: Direction = MISSING
    function: dict[str, Any] = MISSING  # with _target_ and _partial_


@dataclass
class FiltersConfig:
    """Which pairs count; null or false switches a filter off."""

    top_tokens: int = MISSING
    concept_tokens: bool = MISSING
    non_concept: NonConcept = MISSING
    non_concept_tokens: list[str] = MISSING
    shared_token: bool = MISSING
    minimum_firing_count: int | None = MISSING
    kept_claim: Keep = MISSING
    one_to_one: Keep | None = MISSING
    minimum_correlation: float | None = MISSING
    maximum_q_value: float | None = MISSING


@dataclass
class NullConfig:
    """The null distributions of the scores of the whole spaces, and of the pairs: draws, and what is drawn."""

    n: int = MISSING
    kinds: list[NullKind] = MISSING
    pooled: bool = MISSING


@dataclass
class ConceptsConfig:
    """Semantic subspaces: the keywords of each by its name, and the draws of their two tests."""

    name: str = MISSING
    n: int = MISSING
    fragments: bool = MISSING
    split_at_spaces: bool = MISSING
    keywords: dict[str, list[str]] = MISSING


@dataclass
class TransferConfig:
    """Whether features can be used in the other model: what is asked, and on how much text."""

    name: TransferParts = MISSING
    path: str | None = MISSING
    fit_sequences: int = MISSING
    loss_sequences: int = MISSING
    n_pairs: int = MISSING
    n_contexts: int = MISSING
    doses: list[float] = MISSING


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
    metrics_on: list[MetricsOn] = MISSING
    decoder_rows: DecoderRows = MISSING
    consistency_threshold: float | None = MISSING
    concepts: ConceptsConfig = MISSING
    transfer: TransferConfig = MISSING
    null: NullConfig = MISSING
    seed: int = MISSING
    explore: bool = MISSING
    cache: CacheConfig = MISSING
    control: str | None = MISSING  # its name in the table of controls
    layers_per_pass: int | str = MISSING  # or `all`
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    sweep: SweepConfig = MISSING
    output_dir: str = MISSING


MatmulPrecision = Enum("MatmulPrecision", {"highest": "highest", "high": "high", "medium": "medium"})
ActivationSource = Enum("ActivationSource", {"live": "live", "cached": "cached"})


@dataclass
class ArchitectureConfig:
    """An SAE to train. `settings` are fields of SAELens's training configuration for that architecture."""

    architecture: str = MISSING
    settings: dict[str, Any] = MISSING
    frozen_decoder: bool = MISSING


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
    exclude_special: bool = MISSING
    exclude_outliers: float | None = MISSING
    activations: ActivationSource = MISSING
    cache_dir: str | None = MISSING


@dataclass
class BufferConfig:
    """The shuffle buffer between model and SAE."""

    tokens: int = MISSING
    sequences_per_pass: int | None = MISSING


@dataclass
class OptimiserConfig:
    """Linear warm-up and final linear decay, and the warm-up of the sparsity loss, as fractions of all steps."""

    learning_rate: float | None = MISSING
    warm_up_fraction: float = MISSING
    decay_fraction: float = MISSING
    sparsity_warm_up_fraction: float = MISSING
    function: dict[str, Any] = MISSING  # _target_ of torch.optim; called with the parameters and lr


@dataclass
class EvaluationConfig:
    """What is measured on held-out text, and how often."""

    every_steps: int | None = MISSING
    n_tokens: int = MISSING
    n_sequences: int = MISSING


@dataclass
class CheckpointConfig:
    """Checkpoints to resume from: steps between two, and how many of the newest are kept."""

    every_steps: int = MISSING
    every_minutes: float | None = MISSING
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
    batch_tokens: int | None = MISSING
    dead_after_tokens: int | None = MISSING
    b_dec_init_method: DecoderBiasStart = MISSING
    seed: int = MISSING
    ckpt_path: str | None = MISSING
    float32_matmul_precision: MatmulPrecision = MISSING
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    output_dir: str | None = MISSING
    callbacks: dict[str, Any] = MISSING  # by any names; mappings with _target_


@dataclass
class ClusteringConfig:
    """How features of many spaces are put into clusters."""

    q: float = MISSING
    n_draws: int = MISSING
    n_resamples: int = MISSING
    n_null: int = MISSING


@dataclass
class ShufflesConfig:
    """The null of the metrics of every two spaces."""

    n: int = MISSING


@dataclass
class UniversalityConfig:
    """Everything that a study of many spaces depends on."""

    space: dict[str, Any] = MISSING
    vary: dict[str, list[Any]] = MISSING
    spaces: list[dict[str, Any]] = MISSING
    in_order: bool = MISSING
    train: dict[str, Any] | None = MISSING  # by the keys of train_sae.py
    data: DataConfig = MISSING
    alignment: AlignmentConfig = MISSING
    clusters: ClusteringConfig = MISSING
    metrics: list[str] = MISSING
    null: ShufflesConfig = MISSING
    seed: int = MISSING
    cache: CacheConfig = MISSING
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    output_dir: str = MISSING


ConfigStore.instance().store("compare_schema", CompareConfig)
ConfigStore.instance().store("train_sae_schema", TrainSAEConfig)
ConfigStore.instance().store("universality_schema", UniversalityConfig)
