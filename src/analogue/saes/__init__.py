"""Residual stream to feature activations."""

from analogue.saes.loading import load
from analogue.saes.provenance import sae_fingerprint, sae_warnings
from analogue.saes.quality import Quality, ReconstructionQuality, misfit_warnings

__all__ = [
    "Quality",
    "ReconstructionQuality",
    "load",
    "misfit_warnings",
    "sae_fingerprint",
    "sae_warnings",
]
