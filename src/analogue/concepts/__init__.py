"""Semantic subspaces: the features of a concept, found by keywords, compared among themselves."""

from analogue.concepts.keywords import keyword_counts, keyword_matches
from analogue.concepts.result import ConceptResult
from analogue.concepts.scoring import FeatureSpace, score_concepts
from analogue.concepts.text import TokenText

__all__ = [
    "ConceptResult",
    "FeatureSpace",
    "TokenText",
    "keyword_counts",
    "keyword_matches",
    "score_concepts",
]
