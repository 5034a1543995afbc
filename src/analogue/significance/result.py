"""A similarity score with its null, ready for a record."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analogue.significance.p_values import p_value, p_value_published
from analogue.significance.shuffle import shuffle_null
from analogue.similarity import METRICS, MINIMUM_PAIRS


@dataclass(frozen=True)
class SimilarityResult:
    """One metric's score and its shuffled-pairing null.

    Attributes:
        score: of the pairs as they are; None where there is none, and `reason` says why.
        null: which null.
        null_interval: the middle 95 % of the null.
        z: (score - null mean) / null sd.
        p_value: (1 + c) / (1 + N), c the number of draws that reach the score.
        p_value_published: c / N.
        n_pairs: pairs scored.
        n_null: draws.
        warnings: what a reader of the score should know.
    """

    metric: str
    score: float | None
    n_pairs: int
    n_null: int
    seed: int
    null: str = "shuffle"
    null_mean: float | None = None
    null_sd: float | None = None
    null_interval: tuple[float, float] | None = None
    z: float | None = None
    p_value: float | None = None
    p_value_published: float | None = None
    warnings: list[str] = field(default_factory=list)
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score_against_null(x: Any, y: Any, metrics: Sequence[str], n: int, seed: int) -> list[SimilarityResult]:
    """Score paired rows with each metric and test each score against shuffled pairings.

    Args:
        x: (n_pairs, d_a) decoder rows of the features of A.
        y: (n_pairs, d_b) decoder rows of their partners.
        metrics: names from `analogue.similarity.METRICS`.
        n: number of shuffles, at least 1.
        seed: of the shuffles.

    Returns:
        A result for each metric, without a score where there are fewer than 3 pairs or no variance.
    """
    if len(x) < MINIMUM_PAIRS:
        reason = f"{len(x)} pairs are left, {MINIMUM_PAIRS} are needed"
        return [SimilarityResult(name, None, len(x), 0, seed, reason=reason) for name in metrics]
    scorers = {name: METRICS[name].prepare(x, y) for name in metrics}
    scores = {name: scorer(np.arange(len(x))) for name, scorer in scorers.items()}
    defined = {name: scorer for name, scorer in scorers.items() if math.isfinite(scores[name])}
    null = shuffle_null(defined, len(x), n, seed)
    return [_result(name, scores[name], null.get(name), METRICS[name].warnings(x, y), len(x), seed) for name in metrics]


def _result(
    name: str, score: float, null: np.ndarray | None, warnings: list[str], n_pairs: int, seed: int
) -> SimilarityResult:
    if null is None:
        return SimilarityResult(name, None, n_pairs, 0, seed, reason="a side does not vary", warnings=warnings)
    mean, sd = float(null.mean()), float(null.std(ddof=1)) if len(null) > 1 else 0.0
    low, high = np.quantile(null, [0.025, 0.975])
    return SimilarityResult(
        metric=name,
        score=score,
        n_pairs=n_pairs,
        n_null=len(null),
        seed=seed,
        null_mean=mean,
        null_sd=sd,
        null_interval=(float(low), float(high)),
        z=(score - mean) / sd if sd > 0 else None,
        p_value=p_value(score, null),
        p_value_published=p_value_published(score, null),
        warnings=warnings,
    )
