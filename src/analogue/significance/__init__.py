"""Scores to p-values."""

from typing import TYPE_CHECKING, Any

from analogue.significance.mantel import MantelMoments, mantel_moments
from analogue.significance.multiple_testing import benjamini_hochberg
from analogue.significance.p_values import p_value, p_value_published
from analogue.significance.resampling import draw_scores, random_pairs, random_subset, score_against_draws
from analogue.significance.result import SimilarityResult, against_null, score_against_null
from analogue.significance.shuffle import draw_shuffles

if TYPE_CHECKING:
    from analogue.significance.rotated import RotatedBaseline, correlations_against_rotations

__all__ = [
    "MantelMoments",
    "RotatedBaseline",
    "SimilarityResult",
    "against_null",
    "benjamini_hochberg",
    "correlations_against_rotations",
    "draw_scores",
    "draw_shuffles",
    "mantel_moments",
    "p_value",
    "p_value_published",
    "random_pairs",
    "random_subset",
    "score_against_draws",
    "score_against_null",
]


def __getattr__(name: str) -> Any:
    """The rotated basis works on activations, whose room takes seconds to import: tables and figures do without."""
    if name in ("RotatedBaseline", "correlations_against_rotations"):
        from analogue.significance import rotated

        return getattr(rotated, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
