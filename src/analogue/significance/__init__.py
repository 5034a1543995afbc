"""Scores to p-values."""

from analogue.significance.mantel import MantelMoments, mantel_moments, rsa_moments
from analogue.significance.multiple_testing import benjamini_hochberg
from analogue.significance.p_values import p_value, p_value_published
from analogue.significance.result import SimilarityResult, against_null, score_against_null
from analogue.significance.shuffle import draw_shuffles, shuffle_null

__all__ = [
    "MantelMoments",
    "SimilarityResult",
    "against_null",
    "benjamini_hochberg",
    "draw_shuffles",
    "mantel_moments",
    "p_value",
    "p_value_published",
    "rsa_moments",
    "score_against_null",
    "shuffle_null",
]
