"""What a study of many spaces sends to a Lightning logger, W&B above all."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger, WandbLogger

from analogue.reporting.tracking import decisive_settings
from analogue.reporting.universality import PAGE_FILE
from analogue.results import flatten
from analogue.results.universality import (
    CLUSTERS_FILE,
    FEATURES_FILE,
    SPACES_FILE,
    UNIVERSALITY_FILE,
    UniversalityResult,
)


def log_universality(logger: Logger, result: UniversalityResult, figures: Sequence[Path], directory: Path) -> None:
    """Send settings and counts to a logger; to W&B the figures, the matrices, and the files as an artifact too."""
    logger.log_hyperparams(flatten(decisive_settings(result.config)))
    logger.log_metrics(universality_metrics(result), step=0)
    if not isinstance(logger, WandbLogger):
        return
    import wandb

    for path in figures:
        logger.log_image(f"figures/{path.stem}", [str(path)])
    for name, matrix in result.matrices.items():
        rows = [[label, *row] for label, row in zip(result.names, matrix, strict=True)]
        logger.log_table(f"matrices/{name}", columns=["space", *result.names], data=rows)
    run = logger.experiment
    run.name = f"universality of {len(result.names)} spaces"
    artifact = wandb.Artifact(f"universality-{run.id}", type="universality", metadata={"spaces": result.names})
    for name in (UNIVERSALITY_FILE, CLUSTERS_FILE, FEATURES_FILE, SPACES_FILE, PAGE_FILE):
        artifact.add_file(str(directory / name))
    run.log_artifact(artifact)


def universality_metrics(result: UniversalityResult) -> dict[str, float]:
    """Scalars by name: `clusters/5`, `features/seed 0/shared`, `permuted/2`, ..."""
    metrics = {f"clusters/{size}": float(count) for size, count in result.n_clusters.items()}
    for name, kinds in zip(result.names, result.kinds, strict=True):
        metrics |= {f"features/{name}/{kind}": float(count) for kind, count in kinds.items()}
    if result.spectrum_by_chance:
        means = zip(*result.spectrum_by_chance["mean"], strict=True)
        metrics |= {f"permuted/{k}": sum(column) / len(column) for k, column in enumerate(means, 1)}
    return metrics
