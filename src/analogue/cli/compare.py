"""`analogue compare`, `compare.py`: a comparison as the configuration asks for it, or a sweep of them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import DictConfig

from analogue.cli.composition import chosen_options, instantiated, plain, typed
from analogue.cli.conf import COMPARE
from analogue.cli.keys import COMPARE_KEYS, naming_keys, section, with_keys
from analogue.cli.run import run
from analogue.cli.schema import CompareConfig, UniversalityConfig
from analogue.errors import UserError, check_between, check_folder, check_seed
from analogue.options import MetricName
from analogue.settings import Cache, Concepts, Corpus, Filters, Null, Side, Transfer

if TYPE_CHECKING:
    from analogue.comparison.result import Comparison
    from analogue.results import ComparisonResult

ALL = "all"


def main(*subcommand: str) -> NoReturn:
    """Run the jobs of the command line, and end the process; see `analogue.cli.run.run`."""
    run(compare_job, COMPARE, subcommand)


def compare_job(cfg: DictConfig) -> None:
    """One job, unless a sweep that is resumed has finished it."""
    from analogue.cli.resume import finished_before

    if not finished_before(cfg, partial(changed_keys, cfg)):
        run_comparison(cfg)


def changed_keys(cfg: DictConfig, record: "ComparisonResult") -> list[str]:
    """The keys whose files have changed since the record was made.

    Raises:
        UserError: one of them cannot be opened.
    """
    from analogue.comparison.unchanged import changed_since

    with naming_keys(COMPARE_KEYS):
        return [COMPARE_KEYS[name] for name in changed_since(record, **light_arguments(typed(cfg, CompareConfig)))]


def run_comparison(cfg: DictConfig) -> "ComparisonResult | None":
    """Compare two SAE feature spaces; write, print and log the result.

    Returns:
        The record; None on ranks other than 0.

    Raises:
        UserError: something in the configuration cannot work.
    """
    config = typed(cfg, CompareConfig)
    arguments = light_arguments(config)

    from analogue.results.record import EXPLORER_FILE

    with naming_keys(COMPARE_KEYS):
        check_folder("output_dir", config.output_dir)
        if config.explore:
            from analogue.reporting.explorer import check_umap

            check_umap()
        comparison = _compared(cfg, config, arguments)
        if comparison is None:
            return None
        comparison.save(Path(cfg.output_dir))
        explorer = Path(cfg.output_dir) / EXPLORER_FILE
        explorer.unlink(missing_ok=True)  # of an earlier run in this folder
        _print(comparison, cfg.output_dir)
        if config.explore:
            comparison.explore(explorer, arguments["progress"])
            print(f"the explorer: {explorer}")
    if cfg.logger:
        _log(cfg, comparison)
    return comparison.record


def light_arguments(config: CompareConfig) -> dict[str, Any]:
    """The arguments of `analogue.compare` that are made, and checked, before torch and transformers are loaded.

    Raises:
        UserError: a value that cannot work.
    """
    arguments: dict[str, Any] = {
        "a": _side("a", config),
        "b": _side("b", config),
        **text_arguments(config),
        "metrics_on": config.metrics_on,
        "decoder_rows": config.decoder_rows,
        "consistency_threshold": config.consistency_threshold,
    }
    with section("filters"):
        filters = dict(vars(config.filters))
        del filters["kept_claim"]  # what one_to_one refers to
        arguments["filters"] = Filters(**filters)
    with section("null"):
        arguments["null"] = Null(**vars(config.null))
    with section("concepts"):
        concepts = dict(vars(config.concepts))
        del concepts["name"]  # of the list
        arguments["concepts"] = Concepts(**concepts)
    with section("transfer", {"parts": "transfer.name"}):
        settings = dict(vars(config.transfer))
        arguments["transfer"] = Transfer(settings.pop("name"), **settings)
    with section("cache"):
        arguments["cache"] = _cache(config)
    check_names(config.metrics)
    if config.consistency_threshold is not None:
        with naming_keys(COMPARE_KEYS):
            check_between("consistency_threshold", config.consistency_threshold, -1, 1)
    return arguments


def layers_of_pass(layer: int, grid: Sequence[int], layers_per_pass: int | str) -> list[int]:
    """The layers that are computed together with `layer`, itself included, in ascending order.

    The grid's layers are cut into groups of `layers_per_pass`: every job whose layer is in a group gets that group.
    """
    ordered = sorted({layer, *grid})
    if layers_per_pass == ALL:
        return ordered
    start = ordered.index(layer) // int(layers_per_pass) * int(layers_per_pass)
    return ordered[start : start + int(layers_per_pass)]


def _side(label: str, config: CompareConfig) -> Side:
    model, sae = (config.model_a, config.sae_a) if label == "a" else (config.model_b, config.sae_b)
    fields = {"model" if name == "name" else name: value for name, value in vars(model).items()}
    with section(f"model_{label}", {"sae_dtype": f"sae_{label}.dtype"}):
        return Side(
            **fields,
            layer=config.layer_a if label == "a" else config.layer_b,
            sae=sae.path,
            sae_dtype=sae.dtype,
            before_topk=sae.before_topk,
        )


def _cache(config: CompareConfig) -> Cache | None:
    at_once = config.layers_per_pass
    if at_once != ALL and not (isinstance(at_once, int) and at_once > 0):
        raise UserError("layers_per_pass", at_once, "must be at least 1, or all")
    sweep = config.sweep
    layers_a = layers_of_pass(config.layer_a, sweep.layers_a, at_once)
    layers_b = layers_of_pass(config.layer_b, sweep.layers_b, at_once)
    cache = Cache(config.cache.dir, config.cache.max_gb, layers_a, layers_b)
    return cache if config.cache.enabled else None


def text_arguments(config: CompareConfig | UniversalityConfig) -> dict[str, Any]:
    """The arguments that a comparison of two spaces shares with a study of many: corpus, alignment, seed and others."""
    with section("data"):
        corpus = Corpus(**vars(config.data))
    with naming_keys({}):
        check_seed("seed", config.seed)
    return {
        "corpus": corpus,
        "alignment": config.alignment.name,
        "aggregation": config.alignment.aggregation,
        "seed": config.seed,
        "progress": config.trainer.get("enable_progress_bar", True),
    }


def check_names(metrics: Sequence[Any]) -> None:
    """Refuse an unknown name before anything heavy is loaded."""
    from difflib import get_close_matches

    if not metrics:
        raise UserError("metrics", "[]", f"names no metric; choose from {', '.join(MetricName)}")
    for name in metrics:
        if isinstance(name, str) and name not in [*MetricName]:
            close = get_close_matches(name, [*MetricName], n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise UserError("metrics", name, f"unknown metric {name!r}: {hint}known are {', '.join(MetricName)}")


def _metrics(entries: Sequence[Any]) -> list[Any]:
    """Metrics by name, or from a mapping with `_target_`."""
    return [entry if isinstance(entry, str) else _own_metric(entry) for entry in entries]


def _own_metric(entry: Any) -> Any:
    from analogue.similarity import Metric

    metric = instantiated(entry, "metrics")
    if not isinstance(metric, Metric):
        raise UserError("metrics", entry, "makes no metric; use analogue.similarity.Metric.from_function")
    return metric


def _matching(cfg: DictConfig, config: CompareConfig) -> Any:
    from analogue.settings import Matching

    rule = instantiated(cfg.matching.function, "matching.function", given=cfg.matching.function.get("_target_"))
    if not isinstance(rule, partial):
        raise UserError("matching.function._partial_", "false", "must be true: the rule is called later")
    return Matching(rule.func, config.matching.direction, rule.keywords)


def _compared(cfg: DictConfig, config: CompareConfig, arguments: dict[str, Any]) -> "Comparison | None":
    from analogue.comparison.pipeline import compare
    from analogue.results.jobs import CHOICES
    from analogue.trainer import open_trainer

    comparison = compare(
        **arguments,
        matching=_matching(cfg, config),
        metrics=_metrics(config.metrics),
        trainer=open_trainer(config.trainer, logger=False),
        config=plain(cfg) | {CHOICES: chosen_options()},
    )
    if comparison is None:
        return None
    record = comparison.record
    named = partial(with_keys, keys=COMPARE_KEYS)
    similarity = [entry | {"reason": entry["reason"] and named(entry["reason"])} for entry in record.similarity]
    warnings = [named(warning) for warning in record.warnings]
    return replace(comparison, record=replace(record, similarity=similarity, warnings=warnings))


def _print(comparison: "Comparison", output_dir: str) -> None:
    """Print the tables, and the folder that holds the record."""
    from analogue.reporting.console import plain_console
    from analogue.reporting.tables import comparison_tables

    console = plain_console()
    console.print(comparison_tables(comparison.record))
    console.print(f"written to {output_dir}", soft_wrap=True)


def _log(cfg: DictConfig, comparison: "Comparison") -> None:
    """Send the result to the configured logger."""
    from analogue.cli.logger import configured_logger
    from analogue.reporting.tracking import log_comparison, log_or_warn

    log = partial(
        log_comparison,
        result=comparison.record,
        pairs=comparison.pairs_table,
        directory=Path(cfg.output_dir),
    )
    log_or_warn(partial(configured_logger, cfg.logger), log)
