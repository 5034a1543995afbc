"""The best partners of features, and pairs of features with the reason why a pair was dropped."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from analogue.options import Direction


class BestPartners(NamedTuple):
    """The k best partners of n features, best first."""

    indices: Int64[np.ndarray, "n k"]
    """Features of the other side, in its full numbering; -1 where there is none."""
    correlations: Float64[np.ndarray, "n k"]
    """Pearson correlation in [-1, 1]; NaN where there is no partner."""

    @classmethod
    def nobody(cls, n: int, k: int) -> "BestPartners":
        """No feature has a partner."""
        return cls(np.full((n, k), -1, dtype=np.int64), np.full((n, k), np.nan))

    def take(self, features: Int64[np.ndarray, " n"] | None) -> "BestPartners":
        """The rows of these features; all if None."""
        return self if features is None else BestPartners(self.indices[features], self.correlations[features])


@dataclass(frozen=True, eq=False)
class FeaturePairs:
    """Pairs (feature_a, feature_b), in order of the claiming side's feature.

    A filter never removes a pair: it marks it as dropped, so that the reason stays with the result.

    Attributes:
        feature_a: (n_pairs,) feature of A.
        feature_b: (n_pairs,) feature of B.
        correlation: (n_pairs,) Pearson correlation of their activations, never NaN.
        n_active_a: (n_pairs,) firing count of feature_a, in tokens.
        n_active_b: (n_pairs,) firing count of feature_b.
        dropped_by: (n_pairs,) name of the filter that dropped the pair, "" where it is kept.

    Raises:
        ValueError: if the arrays differ in length, or a correlation is NaN.
    """

    feature_a: Int64[np.ndarray, " n_pairs"]
    feature_b: Int64[np.ndarray, " n_pairs"]
    correlation: Float64[np.ndarray, " n_pairs"]
    n_active_a: Int64[np.ndarray, " n_pairs"]
    n_active_b: Int64[np.ndarray, " n_pairs"]
    dropped_by: np.ndarray[Any, np.dtype[np.str_]]

    def __post_init__(self) -> None:
        lengths = {name: len(array) for name, array in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"expected arrays of one length, got {lengths}")
        n_undefined = int(np.isnan(self.correlation).sum())
        if n_undefined:
            raise ValueError(f"expected a correlation for every pair, got NaN for {n_undefined}")

    def __len__(self) -> int:
        """Number of pairs, dropped ones included."""
        return len(self.feature_a)

    @property
    def kept(self) -> Bool[np.ndarray, " n_pairs"]:
        """Which pairs no filter has dropped."""
        return self.dropped_by == ""

    @property
    def n_kept(self) -> int:
        """Number of pairs no filter has dropped."""
        return int(np.count_nonzero(self.kept))

    def drop(self, mask: Bool[np.ndarray, " n_pairs"], name: str) -> "FeaturePairs":
        """Mark the kept pairs under `mask` as dropped by `name`; pairs dropped before keep their first reason.

        Raises:
            ValueError: if `mask` is not a boolean per pair, or `name` is empty.
        """
        mask = np.asarray(mask)
        if mask.shape != (len(self),) or mask.dtype != bool:
            raise ValueError(f"expected a boolean mask of {len(self)} pairs, got {mask.dtype} of shape {mask.shape}")
        if not name:
            raise ValueError("expected the name of a filter, got ''")
        return replace(self, dropped_by=np.where(mask & self.kept, name, self.dropped_by))

    def kept_pairs(self) -> "FeaturePairs":
        """Only the pairs that no filter has dropped."""
        return FeaturePairs(**{name: array[self.kept] for name, array in vars(self).items()})


def as_pairs(
    feature_a: Int64[np.ndarray, " n_pairs"],
    feature_b: Int64[np.ndarray, " n_pairs"],
    correlation: Float64[np.ndarray, " n_pairs"],
    n_active_a: Int64[np.ndarray, " d_sae_a"],
    n_active_b: Int64[np.ndarray, " d_sae_b"],
    direction: str,
) -> FeaturePairs:
    """Feature pairs in order of the claiming side's feature, none dropped; `n_active` of all features of a side."""
    order = np.argsort(feature_a if direction == Direction.a_to_b else feature_b, kind="stable")
    feature_a, feature_b = feature_a[order], feature_b[order]
    return FeaturePairs(
        feature_a=feature_a,
        feature_b=feature_b,
        correlation=correlation[order],
        n_active_a=n_active_a[feature_a],
        n_active_b=n_active_b[feature_b],
        dropped_by=np.full(len(feature_a), "", dtype=np.str_),
    )
