"""The similarity of semantic subspaces (paper, section 3, "Semantic Subspace Matching", and section 4.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int64

from analogue.concepts.keywords import keyword_counts, keyword_matches
from analogue.concepts.result import ConceptResult
from analogue.concepts.text import TokenText
from analogue.features import FeatureActivations, TopTokens
from analogue.matching import SubsetCorrelations, one_to_one
from analogue.significance import SimilarityResult, random_subset, score_against_draws, score_against_null
from analogue.similarity import Metric

Features = Int64[np.ndarray, " n"]
Direction = Literal["a_to_b", "b_to_a"]
Keep = Literal["best", "first", "strict"]


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """One side of a comparison: activations (n_tokens, d_sae), top tokens, and decoder rows (d_sae, d_model).

    Decoder rows may stay in the SAE's own precision, and be a tensor on a device: metrics compute there, in float64.

    Raises:
        ValueError: the three are not of as many features.
    """

    acts: FeatureActivations
    top: TopTokens
    decoder: Float[Any, "d_sae d_model"]

    def __post_init__(self) -> None:
        n_features = self.acts.d_sae, len(self.top), len(self.decoder)
        if len(set(n_features)) != 1:
            raise ValueError(f"expected activations, top tokens and decoder rows of as many features, got {n_features}")


def score_concepts(
    concepts: Mapping[str, Sequence[str]],
    a: FeatureSpace,
    b: FeatureSpace,
    text: TokenText,
    metrics: Sequence[str | Metric],
    n: int,
    seed: int,
    direction: Direction = "a_to_b",
    keep: Keep = "best",
    progress: Callable[[str], None] | None = None,
) -> list[ConceptResult]:
    """Find each concept's features on both sides, pair them among themselves, and score and test their geometry.

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

    Returns:
        One result a concept. Concepts of 2 or fewer pairs have no score, and their results say why.

    Raises:
        ValueError: see `keyword_matches`, `SubsetCorrelations` and `score_against_null`.
    """
    subspaces = _Subspaces(a, b, SubsetCorrelations(a.acts, b.acts), direction, keep)
    results = []
    for name, keywords in concepts.items():
        matches_a, matches_b = (keyword_matches(side.top, text, keywords) for side in (a, b))
        features_a = np.intersect1d(np.flatnonzero(matches_a.any(axis=0)), subspaces.correlations.live_a)
        features_b = np.intersect1d(np.flatnonzero(matches_b.any(axis=0)), subspaces.correlations.live_b)
        paired_a, paired_b = subspaces.pair(features_a, features_b)
        results.append(
            ConceptResult(
                name=name,
                n_features_a=len(features_a),
                n_features_b=len(features_b),
                n_pairs=len(paired_a),
                similarity=subspaces.test(features_a, features_b, metrics, n, seed),
                keyword_counts_a=keyword_counts(matches_a, keywords, paired_a),
                keyword_counts_b=keyword_counts(matches_b, keywords, paired_b),
            )
        )
        if progress is not None:
            progress(name)
    return results


@dataclass(frozen=True, eq=False)
class _Subspaces:
    """How subspaces of A and B are paired and tested."""

    a: FeatureSpace
    b: FeatureSpace
    correlations: SubsetCorrelations
    direction: Direction
    keep: Keep

    def pair(self, features_a: Features, features_b: Features) -> tuple[Features, Features]:
        """Pair two sets of features one-to-one by the correlations between them, and no others."""
        claims = self.correlations.max_correlation(features_a, features_b, self.direction)
        pairs = one_to_one(claims, self.keep).kept_pairs()
        return pairs.feature_a, pairs.feature_b

    def test(
        self, features_a: Features, features_b: Features, metrics: Sequence[str | Metric], n: int, seed: int
    ) -> list[SimilarityResult]:
        """Tests 1 and 2 of each metric."""
        decoder_a, decoder_b = self.a.decoder, self.b.decoder
        paired_a, paired_b = self.pair(features_a, features_b)
        x, y = decoder_a[paired_a], decoder_b[paired_b]
        live_a, live_b = self.correlations.live_a, self.correlations.live_b
        draw = random_subset(decoder_a, decoder_b, len(features_a), len(features_b), self.pair, live_a, live_b)
        shuffled = score_against_null(x, y, metrics, n, seed)
        drawn = score_against_draws(x, y, metrics, draw, "random_subset", n, seed)
        return [result for both_tests in zip(shuffled, drawn, strict=True) for result in both_tests]
