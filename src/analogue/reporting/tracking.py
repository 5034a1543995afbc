"""Experiment tracking: what a comparison sends to a Lightning logger, W&B above all."""

import contextlib
import netrc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from hydra.errors import InstantiationException
from hydra.types import RunMode
from lightning.pytorch.loggers import Logger, WandbLogger

from analogue.errors import UserError, first_line
from analogue.reporting.artifacts import log_record
from analogue.reporting.grids import flat, pair
from analogue.reporting.jobs import PLACES
from analogue.reporting.record import ComparisonResult, label

MODES = ("online", "offline", "shared", "disabled", "dryrun", "run")  # W&B's; the last two are old names


def wandb_logger(
    project: str,
    save_dir: str,
    mode: RunMode | None,
    sweep_dir: str,
    init_timeout: float,
    **settings: Any,
) -> WandbLogger:
    """A W&B logger that is offline unless the user has logged in or set `WANDB_MODE`; a multirun's jobs share a group.

    Args:
        mode: Hydra's; the jobs of a multirun are grouped by `sweep_dir`.
        init_timeout: seconds to wait for the W&B server.
        settings: of `WandbLogger`.

    Raises:
        UserError: `WANDB_MODE` is none of W&B's.
    """
    given = os.environ.get("WANDB_MODE")
    if given is not None and given not in MODES:
        raise UserError("WANDB_MODE", given, "is no mode of W&B; choose online, offline or disabled, or unset it")
    if given is None and not _logged_in():
        settings["offline"] = True
    os.environ.setdefault("WANDB_SILENT", "true")
    group = sweep_dir if mode is RunMode.MULTIRUN else None
    # Listing every installed package takes longer than to log a job; the run of the sweep does it once for all.
    lists_packages = group is None or settings.get("job_type") == "sweep"
    wandb_settings = {"init_timeout": init_timeout, "x_save_requirements": lists_packages}
    logger = WandbLogger(project=project, save_dir=save_dir, group=group, settings=wandb_settings, **settings)
    # Lightning always passes this setting on, and W&B warns of it on every run.
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return logger


def log_or_warn(open_logger: Callable[[], Logger], log: Callable[[Logger], None]) -> None:
    """Log, and end the run; what goes wrong costs one line on the terminal and nothing else."""
    try:
        logger = open_logger()
        log(logger)
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    except Exception as error:  # whatever a server, a disk or an account comes up with: the record is on disk
        print(f"warning: not logged ({told(error)}); the result files are complete", file=sys.stderr)
        abandon_run()


def told(error: Exception) -> str:
    """What has gone wrong, in a sentence; Hydra hides it behind an error of its own."""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        return told(error.__cause__)
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"


def flat_config(result: ComparisonResult) -> dict[str, Any]:
    """What a dashboard selects by: `pair`, `layer_a`, `layer_b`, `model_a.name`, `filters.one_to_one`, ..."""
    config = {name: value for name, value in result.config.items() if name not in PLACES}
    return {"pair": pair(result), "direction": result.direction} | flat(config)


def flat_metrics(result: ComparisonResult) -> dict[str, float]:
    """Scalars by name: `svcca/paired`, `svcca/null_mean`, `svcca/p`, `pairs/kept`, ..."""
    metrics: dict[str, float | None] = {f"pairs/{step['filter']}": step["n_pairs"] for step in result.funnel}
    metrics["pairs/kept"] = result.n_kept
    metrics |= {f"correlation/{name}": value for name, value in result.correlation.items()}
    for entry in result.similarity:
        names = {"paired": "score", "null_mean": "null_mean", "null_sd": "null_sd", "z": "z", "p": "p_value"}
        metrics |= {f"{label(entry)}/{short}": entry[name] for short, name in names.items()}
    for concept in result.concepts:
        for entry in concept["similarity"]:
            prefix = f"concepts/{concept['name']}/{label(entry)}"
            metrics |= {f"{prefix}/paired": entry["score"], f"{prefix}/p": entry["p_value"]}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def log_comparison(logger: Logger, result: ComparisonResult, pairs: pa.Table, directory: Path) -> None:
    """Send configuration, scores and funnel to a logger; to W&B the pairs table and the record's files too."""
    logger.log_hyperparams(flat_config(result))
    logger.log_metrics(flat_metrics(result), step=0)
    if isinstance(logger, WandbLogger):
        logger.log_table("funnel", columns=["filter", "n_pairs"], data=[[*step.values()] for step in result.funnel])
        logger.log_table("similarity", columns=[*_SCALARS], data=[_scalars(entry) for entry in result.similarity])
        logger.log_table("pairs", columns=pairs.column_names, data=[[*row.values()] for row in _kept_rows(pairs)])
        layers = result.side_a.layer, result.side_b.layer
        logger.experiment.name = f"{pair(result)} {layers[0]}-{layers[1]}"
        logger.experiment.tags = (pair(result), f"layers {layers[0]}-{layers[1]}", result.direction)
        log_record(logger, result, directory)


def abandon_run() -> None:
    """Close a run that failed half-way, or the next job of this process would write into it."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and getattr(wandb, "run", None) is not None:
        with contextlib.suppress(Exception):
            wandb.finish(exit_code=1)


_SCALARS = ("metric", "score", "null", "null_mean", "null_sd", "p_value", "n_pairs", "n_null")


def _scalars(entry: Mapping[str, Any]) -> list[Any]:
    return [entry[name] for name in _SCALARS]


def _kept_rows(pairs: pa.Table) -> list[dict[str, Any]]:
    rows = pairs.filter(pairs["kept"]).to_pylist()
    return [row | {side: " | ".join(row[side]) for side in ("top_tokens_a", "top_tokens_b")} for row in rows]


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].strip("/")
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
