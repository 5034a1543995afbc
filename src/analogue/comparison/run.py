"""Conducts one comparison, from configuration to record."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from analogue.comparison.assemble import assemble_result, nulls_table, pairs_table
from analogue.comparison.checks import check_settings
from analogue.comparison.config import CacheConfig, CompareConfig, DataConfig, typed
from analogue.comparison.module import ComparisonModule
from analogue.comparison.pairing import Pairing, configured_filters, pair_features
from analogue.comparison.side import Side, check_same_tokenizer, open_side
from analogue.corpus import TokenDataModule, TokenSequences, read_texts, token_strings, tokenise
from analogue.features import ActivationStore, TopTokens, top_tokens
from analogue.reporting import ComparisonResult, write_result
from analogue.reporting.tables import comparison_tables
from analogue.reporting.tracking import log_comparison, log_or_warn
from analogue.significance import SimilarityResult, score_against_null
from analogue.similarity import Metric, Scorer, metric
from analogue.similarity.metric import Permutation
from analogue.trainer import open_trainer


def compare(cfg: DictConfig) -> ComparisonResult | None:
    """Compare two SAE feature spaces; write, log and print the result.

    Returns:
        The record, or None on ranks other than 0.

    Raises:
        UserError: something in the configuration cannot work.
    """
    config = typed(cfg)
    stopwatch = Stopwatch()
    check_settings(config)
    a = open_side("a", config.model_a, config.sae_a, config.layer_a)
    b = open_side("b", config.model_b, config.sae_b, config.layer_b)
    check_same_tokenizer(a, b)
    sequences = read_sequences(config.data, a)
    stopwatch.lap("open")
    module, is_global_zero = gather_activations(config, [a, b], sequences)
    stopwatch.lap("activations")
    if not is_global_zero:
        return None
    with Console().status("pairing features"):
        tops = {side.label: _top_tokens(side, module, sequences, config.filters.top_tokens) for side in (a, b)}
        pairing = _pair(config, a, module, tops)
    stopwatch.lap("pairing")
    similarity, nulls = _score(config, a, b, pairing)
    stopwatch.lap("scores")
    result = assemble_result(cfg, [a, b], sequences, module, pairing, similarity, stopwatch.laps)
    report(cfg, result, pairs_table(pairing, tops), nulls_table(nulls))
    return result


def read_sequences(data: DataConfig, side: Side) -> TokenSequences:
    """Tokenise as much of the corpus as the configuration asks for."""
    texts = read_texts(
        data.path, column=data.column, subset=data.subset, split=data.split, shuffle_seed=data.shuffle_seed
    )
    return tokenise(texts, side.model.tokenizer, data.n_sequences, data.seq_len, data.packing, data.count_padding)


def gather_activations(
    config: CompareConfig, sides: list[Side], sequences: TokenSequences
) -> tuple[ComparisonModule, bool]:
    """Run the evaluation loop; returns the module with its evidence, and whether this is rank 0."""
    trainer = open_trainer(config.trainer, logger=False)
    store = _open_store(config.cache)
    module = ComparisonModule(sides, sequences.fingerprint(), str(trainer.precision), store)
    try:
        trainer.test(module, TokenDataModule(sequences, config.data.batch_size), verbose=False)
    finally:
        module.release()
    return module, trainer.is_global_zero


def report(cfg: DictConfig, result: ComparisonResult, pairs: pa.Table, nulls: pa.Table) -> None:
    """Write the record, the pairs and the nulls' draws, print the tables, and log to the configured logger."""
    write_result(result, pairs, Path(cfg.output_dir), nulls)
    console = Console()
    console.print(comparison_tables(result))
    console.print(f"written to {cfg.output_dir}", soft_wrap=True)
    if cfg.logger:
        log = partial(log_comparison, result=result, pairs=pairs, directory=Path(cfg.output_dir))
        log_or_warn(partial(instantiate, cfg.logger), log)


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


def _top_tokens(side: Side, module: ComparisonModule, sequences: TokenSequences, k: int) -> TopTokens:
    ids = sequences.flat_ids()
    strings = token_strings(side.model.tokenizer, set(ids.tolist()))
    return top_tokens(module.evidence[side.label].activations, ids, strings, k)


def _pair(config: CompareConfig, side: Side, module: ComparisonModule, tops: dict[str, TopTokens]) -> Pairing:
    special_tokens = [str(token) for token in side.model.tokenizer.all_special_tokens]
    filters = configured_filters(config.filters, tops["a"], tops["b"], special_tokens)
    acts_a, acts_b = (module.evidence[label].activations for label in ("a", "b"))
    return pair_features(acts_a, acts_b, config.matching.direction.value, filters)


def _score(
    config: CompareConfig, a: Side, b: Side, pairing: Pairing
) -> tuple[list[SimilarityResult], dict[str, list[float]]]:
    """The score of each metric, and the draws of its null."""
    kept = pairing.pairs.kept_pairs()
    x, y = (
        side.sae.W_dec[features].double().cpu().numpy() for side, features in ((a, kept.feature_a), (b, kept.feature_b))
    )
    with Progress(disable=not config.trainer.get("enable_progress_bar", True), transient=True) as progress:
        task = progress.add_task(f"{len(x)} pairs against {config.null.n} shuffles", total=config.null.n)

        def advance(n_done: int) -> None:
            progress.update(task, completed=n_done)

        scores: dict[str, list[float]] = {}
        metrics = [_remembering(metric(name), scores) for name in config.metrics]
        similarity = score_against_null(x, y, metrics, config.null.n, config.seed, advance)
    return similarity, {name: values[1:] for name, values in scores.items()}  # the first is of the pairs as they are


def _remembering(each: Metric, scores: dict[str, list[float]]) -> Metric:
    """The metric, keeping every score that it gives."""

    def prepare(x: Any, y: Any) -> Scorer:
        scorer, kept = each.prepare(x, y), scores.setdefault(each.name, [])

        def score(permutation: Permutation) -> float:
            kept.append(scorer(permutation))
            return kept[-1]

        return score

    return replace(each, prepare=prepare)
