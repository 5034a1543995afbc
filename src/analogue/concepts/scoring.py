"""The similarity of semantic subspaces (paper, section 3, "Semantic Subspace Matching", and section 4.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from analogue.concepts.text import TokenText, keyword_counts, keyword_matches
from analogue.features import FeatureActivations, TopTokens
from analogue.matching import SubsetCorrelations, one_to_one
from analogue.options import Direction, Keep
from analogue.significance import SimilarityResult, random_subset, score_against_draws, score_against_null
from analogue.similarity import Metric

Features = Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """One side of a comparison: activations (n_tokens, d_sae), top tokens, and decoder rows (d_sae, d_model).

    Decoder rows may stay in the SAE's own precision, and be a tensor on a device: metrics compute there, in float64.

    Raises:
        ValueError: the three differ in their number of features.
    """

    acts: FeatureActivations
    top: TopTokens
    decoder: Float[Any, "d_sae d_model"]

    def __post_init__(self) -> None:
        n_features = self.acts.d_sae, len(self.top), len(self.decoder)
        if len(set(n_features)) != 1:
            raise ValueError(f"expected activations, top tokens and decoder rows of as many features, got {n_features}")


@dataclass(frozen=True)
class ConceptResult:
    """One concept, ready for a record: the two subspaces, their pairs, and the two tests of each score.

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


def score_concepts(
    concepts: Mapping[str, Sequence[str]],
    a: FeatureSpace,
    b: FeatureSpace,
    text: TokenText,
    metrics: Sequence[str | Metric],
    n: int,
    seed: int,
    direction: str = Direction.a_to_b,
    keep: str = Keep.best,
    progress: Callable[[str], None] | None = None,
    fragments: bool = False,
    split_at_spaces: bool = False,
) -> list[ConceptResult]:
    """Find each concept's features on both sides, pair them among themselves, and score and test their geometry.

    Within the two subspaces every feature of the claiming side takes its most correlated partner, one-to-one, as in the
    paper. The rule and the filters of the whole spaces have no influence on this.

    Args:
        concepts: keywords of each concept, by its name.
        a: feature space of A.
        b: feature space of B, on the same tokens.
        text: the text of those tokens.
        metrics: names from `analogue.similarity.METRICS`, or metrics.
        n: draws of each test (the paper: 1000).
        seed: of the draws; a concept's result does not depend on which others are asked for.
        direction: which side claims its most correlated partner within the other's subspace.
        keep: which of several claims on one feature stays, see `one_to_one`.
        progress: called with the name of each concept that is done.
        fragments: whether a token that is only a part of a keyword counts, see `TokenText.tokens_of`.
        split_at_spaces: whether words end only at white space, see there.

    Returns:
        One result per concept. Concepts with fewer than 3 pairs have no score, and their results say why.

    Raises:
        ValueError: see `keyword_matches`, `SubsetCorrelations` and `score_against_null`.
    """
    correlations = SubsetCorrelations(a.acts, b.acts)

    def pair(features_a: Features, features_b: Features) -> tuple[Features, Features]:
        """Pair two sets of features one-to-one, by the correlations between these features alone."""
        pairs = one_to_one(correlations.max_correlation(features_a, features_b, direction), keep).kept_pairs()
        return pairs.feature_a, pairs.feature_b

    results = []
    for name, keywords in concepts.items():
        how = fragments, split_at_spaces
        matches_a, matches_b = (keyword_matches(side.top, text, keywords, *how) for side in (a, b))
        features_a = np.intersect1d(np.flatnonzero(matches_a.any(axis=0)), correlations.live_a)
        features_b = np.intersect1d(np.flatnonzero(matches_b.any(axis=0)), correlations.live_b)
        paired_a, paired_b = pair(features_a, features_b)
        x, y = a.decoder[paired_a], b.decoder[paired_b]
        sizes = len(features_a), len(features_b)
        draw = random_subset(a.decoder, b.decoder, *sizes, pair, correlations.live_a, correlations.live_b)
        shuffled = score_against_null(x, y, metrics, n, seed)
        drawn = score_against_draws(x, y, metrics, draw, "random_subset", n, seed)
        results.append(
            ConceptResult(
                name=name,
                n_features_a=len(features_a),
                n_features_b=len(features_b),
                n_pairs=len(paired_a),
                similarity=[result for both_tests in zip(shuffled, drawn, strict=True) for result in both_tests],
                keyword_counts_a=keyword_counts(matches_a, keywords, paired_a),
                keyword_counts_b=keyword_counts(matches_b, keywords, paired_b),
            )
        )
        if progress is not None:
            progress(name)
    return results
