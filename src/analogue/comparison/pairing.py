"""From the activations of both sides to filtered feature pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from analogue.cli.schema import FiltersConfig, MatchingConfig, Rule
from analogue.comparison.ranks import best_partners_on_ranks
from analogue.comparison.side import Side
from analogue.errors import UserError
from analogue.features import TopTokens
from analogue.matching import (
    FeaturePairs,
    PairingRule,
    drop_non_concept,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    pairing_rule,
    require_shared_token,
)

Filter = tuple[str, Callable[[FeaturePairs], FeaturePairs]]


@dataclass(frozen=True)
class Pairing:
    """Feature pairs with the funnel that led to them: how many were left after each filter."""

    pairs: FeaturePairs
    funnel: list[tuple[str, int]]


def configured_rule(config: MatchingConfig, a: Side, b: Side, device: torch.device) -> PairingRule:
    """The pairing rule; ranks share its work, which a GPU given may take.

    Raises:
        UserError: decoder rows are to be compared that have no common basis.
    """
    rule = pairing_rule(config.rule.value)
    if config.rule is not Rule.cosine:
        where = str(device) if device.type == "cuda" else "cpu"
        return partial(rule, find=partial(best_partners_on_ranks, device=where))
    if a.model.d_model != b.model.d_model:
        problem = f"compares decoder rows, but they are of width {a.model.d_model} and {b.model.d_model}"
        raise UserError("matching.rule", "cosine", f"{problem}; choose another rule, or two SAEs of one model")
    return partial(rule, decoder_a=a.decoder, decoder_b=b.decoder)


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
