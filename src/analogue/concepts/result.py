"""What a comparison of two semantic subspaces found, ready for a record."""

from dataclasses import dataclass
from typing import Any

from analogue.significance import SimilarityResult


@dataclass(frozen=True)
class ConceptResult:
    """One concept: the two subspaces, their pairs, and the two tests of each score.

    Attributes:
        name: of the concept.
        n_features_a: features of A that have a keyword among their top tokens.
        n_features_b: likewise of B.
        n_pairs: pairs of them, one-to-one.
        similarity: for each metric, Test 1 (`null` is "shuffle") and Test 2 ("random_subset").
        keyword_counts_a: for each keyword, how many paired features of A have it, most first (Table 3).
        keyword_counts_b: likewise of B.
    """

    name: str
    n_features_a: int
    n_features_b: int
    n_pairs: int
    similarity: list[SimilarityResult]
    keyword_counts_a: dict[str, int]
    keyword_counts_b: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values for JSON."""
        return vars(self) | {"similarity": [entry.to_dict() for entry in self.similarity]}

    def test(self, metric: str, null: str) -> SimilarityResult:
        """The result of a metric against a null.

        Raises:
            KeyError: it was not tested.
        """
        for entry in self.similarity:
            if (entry.metric, entry.null) == (metric, null):
                return entry
        raise KeyError(f"{metric} against {null}")
