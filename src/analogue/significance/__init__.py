"""Scores and pairs to p-values."""

from analogue.significance.p_values import benjamini_hochberg, p_value, p_value_published
from analogue.significance.permuted import (
    PairEvidence,
    SideEvidence,
    highest_by_partners,
    highest_by_rule,
    highest_by_walk,
    is_worth_walking,
    pair_evidence,
    permuted_tokens,
)
from analogue.significance.resampling import draw_scores, random_pairs, random_subset, score_against_draws
from analogue.significance.result import SimilarityResult, against_null
from analogue.significance.rotated import RotatedBaseline, correlations_against_rotations
from analogue.significance.shuffle import MantelMoments, draw_shuffles, mantel_moments, score_against_null
from analogue.significance.tokens import sample_tokens, score_on_tokens, score_streams

__all__ = [
    "MantelMoments",
    "PairEvidence",
    "RotatedBaseline",
    "SideEvidence",
    "SimilarityResult",
    "against_null",
    "benjamini_hochberg",
    "correlations_against_rotations",
    "draw_scores",
    "draw_shuffles",
    "highest_by_partners",
    "highest_by_rule",
    "highest_by_walk",
    "is_worth_walking",
    "mantel_moments",
    "p_value",
    "p_value_published",
    "pair_evidence",
    "permuted_tokens",
    "random_pairs",
    "random_subset",
    "sample_tokens",
    "score_against_draws",
    "score_against_null",
    "score_on_tokens",
    "score_streams",
]
