"""Activations to pairs: the correlation engines, the pairing rules, and the filters of pairs.

Mathematics only. Compiled code is loaded when `best_partners` is first called, not on import.
"""

from analogue.matching.cosine import cosine, nearest_rows, paired_cosines, unit_rows
from analogue.matching.filters import (
    apply_filters,
    drop_non_concept,
    maximum_q_value,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    require_shared_token,
)
from analogue.matching.hungarian import hungarian
from analogue.matching.optimal_transport import optimal_transport
from analogue.matching.pairs import BestPartners, FeaturePairs
from analogue.matching.partners import FindPartners, balanced_slices, best_partners, best_partners_of_slice
from analogue.matching.rules import RULES, PairingRule, greedy, max_correlation, mutual
from analogue.matching.sae_match import assign_weights, folded_weights, sae_match
from analogue.matching.standardised import Standardised, paired_correlations
from analogue.matching.subsets import SubsetCorrelations

__all__ = [
    "RULES",
    "BestPartners",
    "FeaturePairs",
    "FindPartners",
    "PairingRule",
    "Standardised",
    "SubsetCorrelations",
    "apply_filters",
    "assign_weights",
    "balanced_slices",
    "best_partners",
    "best_partners_of_slice",
    "cosine",
    "drop_non_concept",
    "folded_weights",
    "greedy",
    "hungarian",
    "max_correlation",
    "maximum_q_value",
    "minimum_correlation",
    "minimum_firing_count",
    "mutual",
    "nearest_rows",
    "one_to_one",
    "optimal_transport",
    "paired_correlations",
    "paired_cosines",
    "require_shared_token",
    "sae_match",
    "unit_rows",
]
