"""Experiment tracking: what comparisons, sweeps and trained SAEs send to a Lightning logger, W&B above all.

In W&B an SAE is an artifact named after its content, in the run that trains it and in those that compare it.
"""

import contextlib
import os
import ssl
import sys
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import getproxies, urlopen

import pyarrow as pa
from lightning.pytorch.loggers import Logger, WandbLogger

from analogue.errors import ArgumentError, InvalidArgument, Unavailable, first_line
from analogue.reporting.panels import Panel, panel_groups
from analogue.reporting.summary import REPORT_FILE, Summary
from analogue.reporting.transfer import transfer_scalars
from analogue.results import ComparisonResult, SideRecord, flatten, label
from analogue.results.grids import LayerGrid, pair
from analogue.results.jobs import decisive_settings
from analogue.results.record import PAIRS_FILE, RESULT_FILE, TRANSFER_FILE
from analogue.results.results_table import TABLE_FILES, results_table

MODES = ("online", "offline", "shared", "disabled", "dryrun", "run")  # W&B's; the last two are old names
WITHOUT_SERVER = ("offline", "disabled", "dryrun")
ANSWERS_WITHIN_S = 10.0
_answers: dict[str, bool | str] = {}  # by the URL of a W&B server: True, or why it cannot be used
_SCALARS = ("metric", "score", "null", "null_mean", "null_sd", "p_value", "n_pairs", "n_null")


def wandb_logger(
    project: str, save_dir: str, group: str | None = None, init_timeout: float = 20, **settings: Any
) -> WandbLogger:
    """A silent W&B logger, offline unless the user has logged in or set `WANDB_MODE`.

    Args:
        group: that the jobs of a sweep share.
        init_timeout: seconds to wait for the W&B server.
        settings: of `WandbLogger`.

    Raises:
        InvalidArgument: W&B does not know the value of `WANDB_MODE`.
        Unavailable: the package wandb is missing.
    """
    try:
        import wandb
    except ModuleNotFoundError as error:
        problem = "needs the package wandb; install it (pip install 'analogue[wandb]'), or choose csv or none"
        raise Unavailable("logger", "wandb", problem) from error

    mode = os.environ.get("WANDB_MODE")
    if mode is not None and mode not in MODES:
        problem = "is no mode of W&B; choose online, offline or disabled, or unset it"
        raise InvalidArgument("WANDB_MODE", mode, problem)
    if "WANDB_SILENT" not in os.environ:
        # Not per run: Lightning passes a deprecated argument, and W&B warns of it before it reads a run's settings.
        wandb.setup(settings=wandb.Settings(silent=True))
    if mode is None and not wandb.login(prompt=False, verify=False):
        mode = "offline"
    # Listing every installed package takes longer than logging a job; the sweep's own run does it for all jobs.
    lists_packages = group is None or settings.get("job_type") == "sweep"
    wandb_settings = {"init_timeout": init_timeout, "x_save_requirements": lists_packages, "mode": mode}
    return WandbLogger(
        project=project, save_dir=save_dir, group=group, offline=mode == "offline", settings=wandb_settings, **settings
    )


def check_server(logger: Any) -> None:
    """Raise `Unavailable` if a logger is W&B's and its server does not answer; a server is asked once per process.

    W&B itself would wait longer, and again for every job. Behind a proxy, only W&B can reach the server.
    """
    if not isinstance(logger, WandbLogger) or logger._offline or os.environ.get("WANDB_MODE") in WITHOUT_SERVER:
        return
    import wandb

    url = str(wandb.setup().settings.base_url)
    if url not in _answers:
        _answers[url] = urlsplit(url).scheme in getproxies() or _answer(url)
    if _answers[url] is not True:
        raise Unavailable("WANDB_BASE_URL", url, f"{_answers[url]}; W&B's server is asked once per process")


def _answer(url: str) -> bool | str:
    """True if a server answers, whatever it answers; otherwise the reason why none does."""
    try:
        with urlopen(url, timeout=ANSWERS_WITHIN_S):
            return True
    except TimeoutError:
        return f"does not answer within {ANSWERS_WITHIN_S:g} s"
    except URLError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return f"does not answer within {ANSWERS_WITHIN_S:g} s"
        unreachable = isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError)
        return f"cannot be reached ({first_line(reason)})" if unreachable else True
    except (OSError, HTTPException):  # something answered, if not properly
        return True


def log_or_warn(open_logger: Callable[[], Logger], log: Callable[[Logger], None]) -> None:
    """Log, and end the run. A failure costs one line on the terminal and nothing else."""
    try:
        logger = open_logger()
        check_server(logger)
        log(logger)
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    except Exception as error:  # any failure of a server, a disk or an account: the record is on disk
        print(f"warning: not logged ({error_message(error)}); the result files are complete", file=sys.stderr)
        abandon_run(error)


def error_message(error: Exception) -> str:
    """What has gone wrong, in one line."""
    return str(error) if isinstance(error, ArgumentError) else f"{type(error).__name__}: {first_line(error)}"


def abandon_run(error: Exception | None = None) -> None:
    """Close a run that failed half-way, or the next job of this process would write into it.

    A server that answers, and then fails, is not asked again.
    """
    wandb = sys.modules.get("wandb")
    if wandb is None:
        return
    if isinstance(error, wandb.errors.CommError):
        _answers.update(dict.fromkeys(_answers, f"failed in an earlier job ({first_line(error)})"))
    if getattr(wandb, "run", None) is not None:
        with contextlib.suppress(Exception):
            wandb.finish(exit_code=1)


def log_comparison(logger: Logger, result: ComparisonResult, pairs: pa.Table, directory: Path) -> None:
    """Send configuration, scores and funnel to a logger; to W&B the pairs table and the record's files too."""
    logger.log_hyperparams(flat_config(result))
    logger.log_metrics(flat_metrics(result), step=0)
    if isinstance(logger, WandbLogger):
        logger.log_table("funnel", columns=["filter", "n_pairs"], data=[[*step.values()] for step in result.funnel])
        scores = [[entry[name] for name in _SCALARS] for entry in result.similarity]
        logger.log_table("similarity", columns=[*_SCALARS], data=scores)
        logger.log_table("pairs", columns=pairs.column_names, data=[[*row.values()] for row in _kept_rows(pairs)])
        layers = f"{result.side_a.layer}-{result.side_b.layer}"
        logger.experiment.name = f"{pair(result)} {layers}"
        logger.experiment.tags = (pair(result), f"layers {layers}", result.direction)
        _log_record(logger.experiment, result, directory)


def log_sweep(logger: Logger, summary: Summary, directory: Path) -> None:
    """Send results, heatmaps and page of a sweep to W&B; other loggers have no place for them."""
    if not isinstance(logger, WandbLogger):
        return
    import wandb

    table = results_table(summary.grids)
    logger.log_table("results", columns=table.column_names, data=[[*row.values()] for row in table.to_pylist()])
    logger.log_image("heatmaps", [str(path) for path in summary.figures], caption=[f.stem for f in summary.figures])
    run = logger.experiment
    for number, grid in enumerate(summary.grids):
        suffix = f" {grid.setting}" if grid.setting else ""
        figures = {panel.title: _figure(grid, panel) for panels in panel_groups(grid).values() for panel in panels}
        run.log({f"grid {number}{suffix}/{title}": wandb.Plotly(figure) for title, figure in figures.items()})
    counts = {"jobs": sum(len(grid.jobs) for grid in summary.grids), "failed": len(summary.failures)}
    run.summary.update(counts)
    report = wandb.Artifact(f"report-{run.id}", type="report", metadata=counts)
    for name in (REPORT_FILE, *TABLE_FILES):
        report.add_file(str(directory / name))
    run.log_artifact(report)


def log_sae(logger: WandbLogger, folder: Path, fingerprint: str, metadata: Mapping[str, Any]) -> None:
    """Send a trained SAE's folder as an artifact of the run that trained it."""
    import wandb

    artifact = wandb.Artifact(sae_artifact_name(fingerprint), type="sae", metadata=dict(metadata))
    artifact.add_dir(str(folder))
    logger.experiment.log_artifact(artifact)


def sae_artifact_name(fingerprint: str) -> str:
    """Named by content, so that it does not matter where an SAE lies."""
    return f"sae-{fingerprint[:16]}"


def flat_config(result: ComparisonResult) -> dict[str, Any]:
    """What a dashboard selects by: `pair`, `layer_a`, `layer_b`, `model_a.name`, `filters.one_to_one`, ..."""
    return {"pair": pair(result), "direction": result.direction} | flatten(decisive_settings(result.config))


def flat_metrics(result: ComparisonResult) -> dict[str, float]:
    """Scalars by name: `svcca/paired`, `svcca/null_mean`, `svcca/p`, `pairs/kept`, ..."""
    metrics: dict[str, float | None] = {f"pairs/{step['filter']}": step["n_pairs"] for step in result.funnel}
    metrics["pairs/kept"] = result.n_kept
    metrics |= {f"correlation/{name}": value for name, value in result.correlation.items()}
    for entry in result.similarity:
        names = {"paired": "score", "null_mean": "null_mean", "null_sd": "null_sd", "z": "z", "p": "p_value"}
        metrics |= {f"{label(entry)}/{short}": entry[name] for short, name in names.items()}
    for side in "ab":
        counts = (result.evidence or {}).get(side, {})
        metrics |= {f"evidence/{side}/{name}": value for name, value in counts.items()}
    metrics |= transfer_scalars(result.transfer) if result.transfer else {}
    consistency = {name: value for name, value in (result.consistency or {}).items() if name != "floor"}
    metrics |= {f"consistency/{name}": value for name, value in consistency.items()}
    for concept in result.concepts:
        for entry in concept["similarity"]:
            prefix = f"concepts/{concept['name']}/{label(entry)}"
            metrics |= {f"{prefix}/paired": entry["score"], f"{prefix}/p": entry["p_value"]}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _kept_rows(pairs: pa.Table) -> list[dict[str, Any]]:
    rows = pairs.filter(pairs["kept"]).to_pylist()
    return [row | {side: " | ".join(row[side]) for side in ("top_tokens_a", "top_tokens_b")} for row in rows]


def _log_record(run: Any, result: ComparisonResult, directory: Path) -> None:
    """The record as an artifact that uses two SAE artifacts."""
    import wandb

    sides = {"sae_a": result.side_a, "sae_b": result.side_b}
    if not run.offline:  # W&B knows no lineage without its server
        for side in sides.values():
            _use(run, side)
    uses = {label: sae_artifact_name(side.sae_fingerprint) for label, side in sides.items()}
    record = wandb.Artifact(f"comparison-{run.id}", type="comparison", metadata=uses)
    for name in (RESULT_FILE, PAIRS_FILE, *([TRANSFER_FILE] if result.transfer else [])):
        record.add_file(str(directory / name))
    run.log_artifact(record)


def _use(run: Any, side: SideRecord) -> None:
    """Use the artifact that a training run left or, for an SAE from elsewhere, one that says where it is."""
    import wandb

    name = sae_artifact_name(side.sae_fingerprint)
    try:
        run.use_artifact(f"{name}:latest", type="sae")
    except (wandb.Error, ValueError):
        artifact = wandb.Artifact(name, type="sae", metadata={"model": side.model, "layer": side.layer})
        artifact.add_reference(f"sae:{side.sae}", name="sae")
        run.use_artifact(artifact)


def _figure(grid: LayerGrid, panel: Panel) -> Any:
    from plotly import graph_objects

    low, high = panel.limits
    heatmap = graph_objects.Heatmap(
        z=panel.cells(),
        x=[str(layer) for layer in grid.columns],
        y=[str(layer) for layer in grid.rows],
        colorscale="Viridis",
        reversescale=panel.descending,
        zmin=low,
        zmax=high,
    )
    vertical, horizontal = grid.axes
    layout = graph_objects.Layout(
        title=panel.title,
        xaxis={"title": horizontal, "type": "category"},
        yaxis={"title": vertical, "type": "category", "autorange": "reversed"},
    )
    return graph_objects.Figure(heatmap, layout)
