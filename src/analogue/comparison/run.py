"""Conducts one comparison, from configuration to record."""

import time
from functools import partial
from pathlib import Path

import lightning as L
import pyarrow as pa
from omegaconf import DictConfig
from rich.console import Console

from analogue.cli.composition import typed
from analogue.cli.logger import configured_logger
from analogue.cli.schema import CacheConfig, CompareConfig
from analogue.cli.trainer import open_trainer
from analogue.comparison.assemble import assemble_result, nulls_table, pairs_table
from analogue.comparison.checks import check_settings
from analogue.comparison.module import ComparisonModule, Gathered
from analogue.comparison.pairing import Pairing, configured_filters, configured_rule
from analogue.comparison.reading import Reading, read_corpus
from analogue.comparison.scoring import score_pairs, score_subspaces
from analogue.comparison.side import Side, open_companions, open_side
from analogue.concepts import ConceptResult, FeatureSpace, TokenText
from analogue.corpus import TextUnits, TokenDataModule
from analogue.errors import UserError
from analogue.features import ActivationStore, FeatureActivations, top_tokens
from analogue.matching import FeaturePairs, apply_filters
from analogue.reporting.tables import comparison_tables
from analogue.reporting.tracking import log_comparison, log_or_warn
from analogue.results import ComparisonResult, write_result


def compare(cfg: DictConfig) -> ComparisonResult | None:
    """Compare two SAE feature spaces; write, log and print the result.

    Returns:
        The record, or None on ranks other than 0.

    Raises:
        UserError: something in the configuration cannot work.
    """
    config = typed(cfg, CompareConfig)
    stopwatch = Stopwatch()
    check_settings(config)
    a = open_side("a", config.model_a, config.sae_a, config.layer_a)
    b = open_side("b", config.model_b, config.sae_b, config.layer_b)
    reading = read_corpus(config, a, b)
    stopwatch.lap("open")
    trainer = open_trainer(config.trainer, logger=False)
    device = trainer.strategy.root_device
    rule = configured_rule(config.matching, a, b, device)
    gathered = gather_activations(config, trainer, [a, b], reading)
    stopwatch.lap("activations")
    with Console().status("pairing features"):
        acts = {label: reading.on_units(label, each.activations) for label, each in gathered.activations.items()}
        claims = rule(acts["a"], acts["b"], config.matching.direction.value)  # each rank does a share
        if not trainer.is_global_zero:
            return None
        units = reading.units(a)
        space_a, space_b = (feature_space(side, acts[side.label], units, config) for side in (a, b))
        pairing = filter_pairs(config, [a, b], claims, space_a, space_b)
    stopwatch.lap("pairing")
    scores = score_pairs(config, space_a, space_b, pairing.pairs, device)
    stopwatch.lap("scores")
    concepts: list[ConceptResult] = []
    if config.concepts.keywords:
        concepts = score_subspaces(config, space_a, space_b, TokenText(*units))
        stopwatch.lap("concepts")
    result = assemble_result(
        cfg, [a, b], reading, gathered, pairing, (space_a, space_b), scores, concepts, stopwatch.laps
    )
    pairs = pairs_table(pairing, space_a, space_b, units, scores.excess_correlation)
    report(cfg, result, pairs, nulls_table(scores.similarity))
    return result


def gather_activations(config: CompareConfig, trainer: L.Trainer, sides: list[Side], reading: Reading) -> Gathered:
    """Run the evaluation loop; returns what it gathered."""
    store = _open_store(config.cache)
    companions = partial(open_companions, config=config)
    module = ComparisonModule(sides, reading.fingerprints(), str(trainer.precision), store, companions)
    try:
        trainer.test(module, TokenDataModule(reading.streams(), config.data.batch_size), verbose=False)
        return module.gathered()
    finally:
        module.release()


def report(cfg: DictConfig, result: ComparisonResult, pairs: pa.Table, nulls: pa.Table) -> None:
    """Print the tables, write the record, the pairs and the nulls' draws, and log to the configured logger.

    Raises:
        UserError: the files cannot be written.
    """
    console = Console()
    console.print(comparison_tables(result))
    try:
        write_result(result, pairs, Path(cfg.output_dir), nulls)
    except OSError as error:
        problem = f"cannot be written to ({error.strerror or error}); nothing is left there"
        raise UserError("output_dir", cfg.output_dir, problem) from error
    console.print(f"written to {cfg.output_dir}", soft_wrap=True)
    if cfg.logger:
        log = partial(log_comparison, result=result, pairs=pairs, directory=Path(cfg.output_dir))
        log_or_warn(partial(configured_logger, cfg.logger), log)


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Name the stage that has just ended."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


def _open_store(cache: CacheConfig) -> ActivationStore | None:
    if not cache.enabled:
        return None
    from platformdirs import user_cache_path

    directory = Path(cache.dir).expanduser() if cache.dir else user_cache_path("analogue") / "activations"
    return ActivationStore(directory, cache.max_gb)


def feature_space(side: Side, acts: FeatureActivations, units: TextUnits, config: CompareConfig) -> FeatureSpace:
    """Activations, top tokens and decoder rows of a side."""
    tops = top_tokens(acts, units.ids, units.strings, config.filters.top_tokens)
    return FeatureSpace(acts, tops, side.decoder)


def filter_pairs(
    config: CompareConfig, sides: list[Side], claims: FeaturePairs, a: FeatureSpace, b: FeatureSpace
) -> Pairing:
    """The pairs after the filters that are switched on, and how many each left."""
    special_tokens = [str(token) for side in sides for token in side.model.tokenizer.all_special_tokens]
    return Pairing(*apply_filters(claims, configured_filters(config.filters, a.top, b.top, special_tokens)))
