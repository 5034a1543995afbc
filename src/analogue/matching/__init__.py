"""Activations to pairs: the correlation engine, the pairing rule, and the filters of pairs.

Mathematics only. The compiled kernels are loaded when `best_partners` is first called, not on import.
"""

from analogue.matching.filters import (
    apply_filters,
    drop_non_concept,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    require_shared_token,
)
from analogue.matching.pairs import FeaturePairs
from analogue.matching.partners import BestPartners, best_partners
from analogue.matching.rules import max_correlation

__all__ = [
    "BestPartners",
    "FeaturePairs",
    "apply_filters",
    "best_partners",
    "drop_non_concept",
    "max_correlation",
    "minimum_correlation",
    "minimum_firing_count",
    "one_to_one",
    "require_shared_token",
]
