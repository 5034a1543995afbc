"""Fresh SAEs to train, and finished ones on disk."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from sae_lens import TrainingSAE
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY

from analogue.cli.schema import ArchitectureConfig
from analogue.errors import UserError
from analogue.training.sae_settings import checked_settings

CONFIG = "cfg.json"  # of SAELens


def new_sae(
    config: ArchitectureConfig, d_in: int, d_sae: int, seed: int, sparsity_warm_up_steps: int, metadata: dict[str, Any]
) -> TrainingSAE[Any]:
    """A SAELens training SAE with freshly drawn weights; the same seed draws the same ones.

    Args:
        sparsity_warm_up_steps: over which the coefficient of the sparsity loss rises, for architectures that have one.

    Raises:
        UserError: an architecture or setting that SAELens does not know, or that cannot work.
    """
    from sae_lens.saes.sae import SAEMetadata

    if config.architecture not in SAE_TRAINING_CLASS_REGISTRY:
        known = ", ".join(sorted(SAE_TRAINING_CLASS_REGISTRY))
        raise UserError("sae.architecture", config.architecture, f"is not known to SAELens; choose from {known}")
    sae_class, config_class = SAE_TRAINING_CLASS_REGISTRY[config.architecture]
    settings = checked_settings(config.settings, config_class, d_sae, sparsity_warm_up_steps)
    try:
        sae_config = config_class(d_in=d_in, d_sae=d_sae, **settings)
        sae_config.metadata = SAEMetadata(**metadata)
        with torch.random.fork_rng(devices=[]):  # SAELens draws from the global generator
            torch.manual_seed(seed)
            return sae_class(sae_config)
    except (TypeError, ValueError) as error:
        raise UserError("sae.settings", config.settings, f"does not fit {config.architecture} ({error})") from error


def save_sae(sae: TrainingSAE[Any], directory: Path, facts: dict[str, Any]) -> None:
    """Write an SAE for inference in SAELens's format: whole files, the configuration last, which makes them an SAE."""
    for name, value in facts.items():
        setattr(sae.cfg.metadata, name, value)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG).unlink(missing_ok=True)  # an old one must not vouch for new weights
    with tempfile.TemporaryDirectory(dir=directory, prefix=".") as temporary:
        for file in sae.save_inference_model(temporary):
            os.replace(file, directory / file.name)
