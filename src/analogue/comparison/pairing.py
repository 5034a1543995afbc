"""From the activations of both sides to filtered feature pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from analogue.comparison.config import FiltersConfig
from analogue.features import FeatureActivations, TopTokens
from analogue.matching import (
    FeaturePairs,
    apply_filters,
    drop_non_concept,
    max_correlation,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    require_shared_token,
)
from analogue.matching.partners import Direction

Filter = tuple[str, Callable[[FeaturePairs], FeaturePairs]]


@dataclass(frozen=True)
class Pairing:
    """Feature pairs with the funnel that led to them: how many were left after each filter."""

    pairs: FeaturePairs
    funnel: list[tuple[str, int]]


def pair_features(
    acts_a: FeatureActivations, acts_b: FeatureActivations, direction: Direction, filters: list[Filter]
) -> Pairing:
    """Pair every feature of the claiming side with its most correlated partner, then filter."""
    return Pairing(*apply_filters(max_correlation(acts_a, acts_b, direction), filters))


def configured_filters(
    config: FiltersConfig, top_a: TopTokens, top_b: TopTokens, special_tokens: list[str]
) -> list[Filter]:
    """The filters that are switched on, in the order of the paper."""
    non_concept = {*config.non_concept_tokens, *special_tokens}
    filters: list[tuple[bool, str, Callable[..., FeaturePairs]]] = [
        (
            config.concept_tokens,
            "concept_tokens",
            partial(drop_non_concept, top_a=top_a, top_b=top_b, non_concept_tokens=non_concept),
        ),
        (config.shared_token, "shared_token", partial(require_shared_token, top_a=top_a, top_b=top_b)),
        (
            config.minimum_firing_count is not None,
            "minimum_firing_count",
            partial(minimum_firing_count, n=config.minimum_firing_count or 0),
        ),
        (
            config.one_to_one is not None,
            "one_to_one",
            partial(one_to_one, keep=config.one_to_one.value if config.one_to_one else "best"),
        ),
        (
            config.minimum_correlation is not None,
            "minimum_correlation",
            partial(minimum_correlation, threshold=config.minimum_correlation or 0.0),
        ),
    ]
    return [(name, function) for on, name, function in filters if on]
