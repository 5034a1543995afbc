"""Pairs to what they do: can a feature of one model be used in another?

`analogue.transfer(a, b, "maps")` is a function too, of this name: `help("analogue.comparison.pipeline.transfer")`.
Here is its mathematics:

moments.py   two streams -> moments
maps.py      moments -> maps between the streams: ridge, rotation
rows.py      maps -> mapped decoder rows beside their partners'
contexts.py  activations -> where to intervene, and how strongly
effects.py   log-probabilities -> effects, their correlation, retrieval of partners
"""

from analogue.transfer.contexts import firing, firing_contexts, silent_contexts, typical_activation
from analogue.transfer.effects import (
    Retrieval,
    effect_correlations,
    effect_size,
    log_probability_change,
    ranks,
    retrieval,
)
from analogue.transfer.maps import (
    AffineMap,
    PrincipalMoments,
    best_penalty,
    leave_one_out_error,
    principal_moments,
    ridge_map,
    rotation_map,
)
from analogue.transfer.moments import PairedMoments, paired_moments
from analogue.transfer.rows import MappedRows, hard_negatives, score_mapped_rows

__all__ = [
    "AffineMap",
    "MappedRows",
    "PairedMoments",
    "PrincipalMoments",
    "Retrieval",
    "best_penalty",
    "effect_correlations",
    "effect_size",
    "firing",
    "firing_contexts",
    "hard_negatives",
    "leave_one_out_error",
    "log_probability_change",
    "paired_moments",
    "principal_moments",
    "ranks",
    "retrieval",
    "ridge_map",
    "rotation_map",
    "score_mapped_rows",
    "silent_contexts",
    "typical_activation",
]
