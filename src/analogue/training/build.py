"""Fresh SAEs to train, and finished ones on disk."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from sae_lens import TrainingSAE
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY

from analogue.errors import UserError
from analogue.training.config import ArchitectureConfig


def new_sae(config: ArchitectureConfig, d_in: int, seed: int, metadata: dict[str, Any]) -> TrainingSAE[Any]:
    """A SAELens training SAE with freshly drawn weights; the same seed draws the same ones.

    Raises:
        UserError: an architecture or setting that SAELens does not know, or k larger than d_sae.
    """
    from sae_lens.saes.sae import SAEMetadata

    if config.architecture not in SAE_TRAINING_CLASS_REGISTRY:
        known = ", ".join(sorted(SAE_TRAINING_CLASS_REGISTRY))
        raise UserError("sae.architecture", config.architecture, f"is not known to SAELens; choose from {known}")
    sae_class, config_class = SAE_TRAINING_CLASS_REGISTRY[config.architecture]
    d_sae = config.expansion_factor * d_in
    k = config.settings.get("k", 0)
    if k > d_sae:
        raise UserError("sae.settings.k", k, f"is larger than the SAE's {d_sae} features; lower it")
    try:
        sae_config = config_class(d_in=d_in, d_sae=d_sae, **config.settings)
    except (TypeError, ValueError) as error:
        raise UserError("sae.settings", config.settings, f"does not fit {config.architecture} ({error})") from error
    sae_config.metadata = SAEMetadata(**metadata)
    with torch.random.fork_rng(devices=[]):  # SAELens draws from the global generator
        torch.manual_seed(seed)
        return sae_class(sae_config)


def save_sae(sae: TrainingSAE[Any], directory: Path, facts: dict[str, Any]) -> None:
    """Write an SAE for inference in SAELens's format; the directory appears whole or not at all."""
    for name, value in facts.items():
        setattr(sae.cfg.metadata, name, value)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    sae.save_inference_model(temporary)
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(temporary, directory)
