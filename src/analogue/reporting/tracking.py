"""Experiment tracking: what a comparison sends to a Lightning logger, W&B above all."""

import netrc
import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from hydra.types import RunMode
from lightning.pytorch.loggers import Logger, WandbLogger

from analogue.reporting.record import ComparisonResult


def wandb_logger(project: str, save_dir: str, mode: RunMode | None, sweep_dir: str, **settings: Any) -> WandbLogger:
    """A W&B logger that is offline unless the user has logged in or set `WANDB_MODE`; a multirun's jobs share a group.

    Args:
        mode: Hydra's; the jobs of a multirun are grouped by `sweep_dir`.
        settings: of `WandbLogger`.
    """
    if "WANDB_MODE" not in os.environ and not _logged_in():
        settings["offline"] = True
    os.environ.setdefault("WANDB_SILENT", "true")
    group = sweep_dir if mode is RunMode.MULTIRUN else None
    logger = WandbLogger(project=project, save_dir=save_dir, group=group, **settings)
    # Lightning always passes this setting on, and W&B warns of it on every run.
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return logger


def flat_metrics(result: ComparisonResult) -> dict[str, float]:
    """Scalars by name: `svcca/paired`, `svcca/null_mean`, `svcca/p`, `pairs/kept`, ..."""
    metrics: dict[str, float | None] = {f"pairs/{step['filter']}": step["n_pairs"] for step in result.funnel}
    metrics["pairs/kept"] = result.n_kept
    metrics |= {f"correlation/{name}": value for name, value in result.correlation.items()}
    for entry in result.similarity:
        names = {"paired": "score", "null_mean": "null_mean", "null_sd": "null_sd", "p": "p_value"}
        metrics |= {f"{entry['metric']}/{short}": entry[name] for short, name in names.items()}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def log_comparison(logger: Logger, result: ComparisonResult, pairs: pa.Table) -> None:
    """Send configuration, scores and funnel to a logger, and to W&B the pairs table too."""
    logger.log_hyperparams(result.config)
    logger.log_metrics(flat_metrics(result), step=0)
    if isinstance(logger, WandbLogger):
        logger.log_table("funnel", columns=["filter", "n_pairs"], data=[[*step.values()] for step in result.funnel])
        logger.log_table("similarity", columns=[*_SCALARS], data=[_scalars(entry) for entry in result.similarity])
        logger.log_table("pairs", columns=pairs.column_names, data=[[*row.values()] for row in _kept_rows(pairs)])
    logger.finalize("success")
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


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
