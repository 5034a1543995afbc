"""Scores to p-values."""

from analogue.significance.p_values import p_value, p_value_published
from analogue.significance.result import SimilarityResult, score_against_null
from analogue.significance.shuffle import shuffle_null

__all__ = ["SimilarityResult", "p_value", "p_value_published", "score_against_null", "shuffle_null"]
