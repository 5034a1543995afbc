"""Steps 2 and 3: features are paired, and pairs filtered."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature

import torch

from analogue.comparison.ranks import best_partners_on_ranks
from analogue.comparison.sides import OpenSide
from analogue.concepts import FeatureSpace
from analogue.corpus import TextUnits, special_ids, token_strings
from analogue.errors import ArgumentError, InvalidArgument, first_line, shown
from analogue.features import FeatureActivations, top_tokens
from analogue.matching import (
    RULES,
    FeaturePairs,
    PairingRule,
    apply_filters,
    drop_non_concept,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    require_shared_token,
)
from analogue.settings import Filters, Matching

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pairing:
    """Feature pairs with the funnel that led to them: how many were left after each filter."""

    pairs: FeaturePairs
    funnel: list[tuple[str, int]]


def chosen_rule(matching: Matching, a: OpenSide, b: OpenSide, device: torch.device = CPU) -> PairingRule:
    """The pairing rule with its settings; ranks share its work, which a GPU may take.

    Raises:
        InvalidArgument: a setting that the rule does not have, or decoder rows without a common basis.
    """
    rule = RULES[matching.rule] if isinstance(matching.rule, str) else matching.rule
    parameters = signature(rule).parameters
    takes_any = any(each.kind == Parameter.VAR_KEYWORD for each in parameters.values())
    unknown = sorted(matching.settings.keys() - parameters.keys())
    if unknown and not takes_any:
        name, value = unknown[0], matching.settings[unknown[0]]
        raise InvalidArgument(f"matching.settings.{name}", value, f"is not a setting of {matching.name}")
    rule = partial(rule, **matching.settings)
    if matching.name != "cosine":
        if "find" not in parameters and not takes_any:  # one of the caller's own that finds partners in its own way
            return rule
        where = str(device) if device.type == "cuda" else "cpu"
        return partial(rule, find=partial(best_partners_on_ranks, device=where))
    if a.model.d_model != b.model.d_model:
        problem = f"compares decoder rows, but they are of width {a.model.d_model} and {b.model.d_model}"
        raise InvalidArgument("matching.rule", "cosine", f"{problem}; choose another rule, or two SAEs of one model")
    return partial(rule, decoder_a=a.decoder, decoder_b=b.decoder)


def pair_features(
    acts_a: FeatureActivations, acts_b: FeatureActivations, rule: PairingRule, matching: Matching
) -> FeaturePairs:
    """Pair every feature of the claiming side; all ranks must call this, and each gets all pairs.

    Raises:
        InvalidArgument: a setting that the rule refuses.
    """
    try:
        pairs = rule(acts_a, acts_b, matching.direction)
    except ValueError as error:
        if not matching.settings:
            raise
        if isinstance(error, ArgumentError) and error.argument in matching.settings:
            raise error.renamed({error.argument: f"matching.settings.{error.argument}"}) from error
        raise InvalidArgument("matching.settings", dict(matching.settings), first_line(error)) from error
    if not isinstance(pairs, FeaturePairs):
        problem = f"puts out {shown(pairs)}, where FeaturePairs of analogue.matching are needed"
        raise InvalidArgument("matching.rule", matching.name, problem)
    return pairs


def describe_features(side: OpenSide, acts: FeatureActivations, units: TextUnits, n_top_tokens: int) -> FeatureSpace:
    """Activations, top tokens and decoder rows of a side.

    Args:
        side: the opened side.
        acts: its activations on the units of text, from `TokenisedCorpus.on_units`.
        units: those units, from `TokenisedCorpus.units`.
        n_top_tokens: per feature.
    """
    return FeatureSpace(acts, top_tokens(acts, units.ids, units.strings, n_top_tokens), side.decoder)


def filter_pairs(
    pairs: FeaturePairs, a: FeatureSpace, b: FeatureSpace, filters: Filters, special_tokens: list[str]
) -> Pairing:
    """Mark the pairs that a filter drops, in the order of the paper, and count what each leaves.

    Args:
        pairs: as a rule made them.
        a: with the top tokens of A's features.
        b: with those of B's.
        filters: which filters are on.
        special_tokens: of both tokenizers; non-concept tokens like those of `filters`.
    """
    non_concept = {*filters.non_concept_tokens, *special_tokens}
    steps: list[tuple[str, bool, Callable[[FeaturePairs], FeaturePairs]]] = [
        (
            "concept_tokens",
            filters.concept_tokens,
            partial(
                drop_non_concept,
                top_a=a.top,
                top_b=b.top,
                non_concept_tokens=non_concept,
                non_concept=filters.non_concept,
            ),
        ),
        ("shared_token", filters.shared_token, partial(require_shared_token, top_a=a.top, top_b=b.top)),
        (
            "minimum_firing_count",
            filters.minimum_firing_count is not None,
            partial(minimum_firing_count, n=filters.minimum_firing_count or 0),
        ),
        ("one_to_one", filters.one_to_one is not None, partial(one_to_one, keep=filters.one_to_one or "best")),
        (
            "minimum_correlation",
            filters.minimum_correlation is not None,
            partial(minimum_correlation, threshold=filters.minimum_correlation or 0.0),
        ),
    ]
    return Pairing(*apply_filters(pairs, [(name, step) for name, is_on, step in steps if is_on]))


def special_tokens_of(*sides: OpenSide) -> list[str]:
    """The special tokens of the sides' tokenizers."""
    names = [str(token) for side in sides for token in side.model.tokenizer.all_special_tokens]
    tokenizers = [side.model.tokenizer for side in sides]
    return names + [text for each in tokenizers for text in token_strings(each, special_ids(each)).values()]
