"""W&B artifacts and their lineage: an SAE has one name, in the run that trains it and in those that compare it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger

from analogue.reporting.files import PAIRS_FILE, RESULT_FILE
from analogue.reporting.record import ComparisonResult, SideRecord


def sae_artifact_name(fingerprint: str) -> str:
    """By its content, wherever it lies."""
    return f"sae-{fingerprint[:16]}"


def log_record(logger: WandbLogger, result: ComparisonResult, directory: Path) -> None:
    """A record as an artifact that uses two SAE artifacts."""
    import wandb

    run = logger.experiment
    sides = {"sae_a": result.side_a, "sae_b": result.side_b}
    if not run.offline:  # W&B knows no lineage without its server
        for side in sides.values():
            _use(run, side)
    uses = {label: sae_artifact_name(side.sae_fingerprint) for label, side in sides.items()}
    record = wandb.Artifact(f"comparison-{run.id}", type="comparison", metadata=uses)
    for name in (RESULT_FILE, PAIRS_FILE):
        record.add_file(str(directory / name))
    run.log_artifact(record)


def log_sae(logger: WandbLogger, folder: Path, fingerprint: str, metadata: Mapping[str, Any]) -> None:
    """A trained SAE's folder as an artifact of the run that has trained it."""
    import wandb

    artifact = wandb.Artifact(sae_artifact_name(fingerprint), type="sae", metadata=dict(metadata))
    artifact.add_dir(str(folder))
    logger.experiment.log_artifact(artifact)


def _use(run: Any, side: SideRecord) -> None:
    """The artifact that a training run has left, or, for an SAE from elsewhere, one that says where it is."""
    import wandb

    name = sae_artifact_name(side.sae_fingerprint)
    try:
        run.use_artifact(f"{name}:latest", type="sae")
    except (wandb.Error, ValueError):
        artifact = wandb.Artifact(name, type="sae", metadata={"model": side.model, "layer": side.layer})
        artifact.add_reference(f"sae:{side.sae}", name="sae")
        run.use_artifact(artifact)
