"""A similarity score with its null, ready for a record."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from analogue.significance.p_values import ROUNDING, p_value, p_value_published
from analogue.similarity import Metric


@dataclass(frozen=True)
class SimilarityResult:
    """One metric's score and its null.

    Attributes:
        score: of the pairs as they are; None if there is none, and `reason` says why.
        n_pairs: pairs scored; of residual streams, tokens.
        n_null: draws.
        seed: of the draws.
        null: which null: `shuffle`, `random_subset`, `random_pairs`, `rotated`, or of activations `permuted_sequences`.
        null_interval: the middle 95 % of the null: its 2.5 % and 97.5 % quantiles.
        z: (score - null mean) / null sd; None if the null does not vary, and for `rotated`, which is no test.
        z_exact: the same with the mean and sd over all permutations (Mantel's moments) instead of those of the draws;
            None except for RSA by Spearman's or Pearson's correlation against `shuffle`.
        p_value: (1 + c) / (1 + N), c the number of draws that reach the score; None for `rotated`.
        p_value_published: c / N.
        warnings: what a reader of the score should know.
        reason: why there is no score.
        on: what was scored of the paired features: their `decoder` rows, their `activations`; or
            the `residual` streams, without features.
        draws: (n_null,) scores of the null; the record leaves them out.
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
    z_exact: float | None = None
    p_value: float | None = None
    p_value_published: float | None = None
    warnings: list[str] = field(default_factory=list)
    reason: str | None = None
    on: str = "decoder"
    draws: Float64[np.ndarray, " n_null"] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values for JSON; NaN and infinity become None."""
        return {name: _plain(value) for name, value in asdict(self).items() if name != "draws"}


def results_of(
    metrics: Sequence[Metric],
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    scores: Mapping[str, float],
    draws: Mapping[str, Float64[np.ndarray, " n_null"]],
    seed: int,
    null: str,
) -> list[SimilarityResult]:
    """A result for each metric: from its score and its draws if it has both, else with the reason."""
    return [
        against_null(each.name, scores[each.name], draws[each.name], len(x), seed, null, each.warnings(x, y))
        if each.name in draws
        else SimilarityResult(each.name, None, len(x), 0, seed, null, reason=_reason(each, x, y))
        for each in metrics
    ]


def against_null(
    metric: str,
    score: float,
    draws: Float64[np.ndarray, " n_null"],
    n_pairs: int,
    seed: int,
    null: str = "shuffle",
    warnings: Sequence[str] = (),
) -> SimilarityResult:
    """The result of a score and the draws of its null, of any kind."""
    defined = draws[~np.isnan(draws)]
    mean, sd = float(np.mean(defined)) if len(defined) else math.nan, _standard_deviation(defined)
    low, high = (float(q) for q in np.quantile(defined, [0.025, 0.975])) if len(defined) else (math.nan, math.nan)
    return SimilarityResult(
        metric=metric,
        score=score,
        n_pairs=n_pairs,
        n_null=len(draws),
        seed=seed,
        null=null,
        null_mean=mean,
        null_sd=sd,
        null_interval=(low, high),
        z=(score - mean) / sd if sd > 0 else None,
        p_value=p_value(score, draws),
        p_value_published=p_value_published(score, draws),
        warnings=[*warnings, *_null_warnings(draws, defined, sd)],
        draws=draws,
    )


def _standard_deviation(draws: Float64[np.ndarray, " n"]) -> float:
    """0 if the draws differ by rounding alone, or if there is only one."""
    if len(draws) < 2 or np.ptp(draws) <= ROUNDING * max(1.0, float(np.abs(draws).max())):
        return 0.0
    return float(np.std(draws, ddof=1))


def _null_warnings(draws: np.ndarray, defined: np.ndarray, sd: float) -> list[str]:
    warnings = []
    if len(defined) < len(draws):
        warnings.append(
            f"{len(draws) - len(defined)} of {len(draws)} draws have no score; they count against the score"
        )
    if len(defined) > 1 and sd == 0:
        warnings.append("every draw scores the same: this metric cannot tell these pairs from random ones")
    return warnings


def _reason(metric: Metric, x: Any, y: Any) -> str:
    if len(x) < metric.minimum_pairs:
        return f"{len(x)} pairs are left, {metric.minimum_pairs} are needed"
    if reason := metric.why_undefined(x, y):
        return reason
    if any(bool((side == side[:1]).all()) for side in (x, y)):
        return f"a side of the {len(x)} pairs does not vary"
    return f"{metric.name} has no value for these {len(x)} pairs"


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
