"""Semantic subspaces: the features of a concept, found by keywords, compared among themselves."""

from analogue.concepts.scoring import ConceptResult, FeatureSpace, score_concepts
from analogue.concepts.text import TokenText, keyword_counts, keyword_matches

__all__ = [
    "ConceptResult",
    "FeatureSpace",
    "TokenText",
    "keyword_counts",
    "keyword_matches",
    "score_concepts",
]
