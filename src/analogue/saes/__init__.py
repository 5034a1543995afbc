"""Activations to features: SAEs and transcoders of every published format."""

from analogue.saes.inputs import centre_input, reconstruction_of, target_of, wants_centring
from analogue.saes.loading import load
from analogue.saes.provenance import sae_fingerprint, sae_warnings, same_model
from analogue.saes.quality import SUSPECTS, ExplainedVariance, Quality, ReconstructionQuality, misfit_warnings
from analogue.saes.sites import (
    RESIDUAL,
    Site,
    names_a_place,
    output_site,
    reads_before_gain,
    sae_site,
    same_stream,
    trained_on,
)

__all__ = [
    "RESIDUAL",
    "SUSPECTS",
    "ExplainedVariance",
    "Quality",
    "ReconstructionQuality",
    "Site",
    "centre_input",
    "load",
    "misfit_warnings",
    "names_a_place",
    "output_site",
    "reads_before_gain",
    "reconstruction_of",
    "sae_fingerprint",
    "sae_site",
    "sae_warnings",
    "same_model",
    "same_stream",
    "target_of",
    "trained_on",
    "wants_centring",
]
