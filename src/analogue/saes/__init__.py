"""Residual stream to feature activations."""

from analogue.saes.loading import load, locate_sae
from analogue.saes.provenance import sae_fingerprint, sae_warnings
from analogue.saes.quality import Quality, ReconstructionQuality, misfit_warnings

__all__ = [
    "Quality",
    "ReconstructionQuality",
    "load",
    "locate_sae",
    "misfit_warnings",
    "sae_fingerprint",
    "sae_warnings",
]
