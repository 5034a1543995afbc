"""Steps 2 and 3: features are paired, and pairs filtered."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature

import numpy as np
import torch
from jaxtyping import Float64

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
    assign_weights,
    best_partners,
    drop_non_concept,
    maximum_q_value,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    require_shared_token,
)
from analogue.options import BY_WEIGHTS, DecoderRows, PairingRuleName
from analogue.settings import Filters, Matching

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pairing:
    """Feature pairs with the funnel that led to them: how many were left after each filter."""

    pairs: FeaturePairs
    funnel: list[tuple[str, int]]


def chosen_rule(
    matching: Matching, a: OpenSide, b: OpenSide, device: torch.device = CPU, on_ranks: bool = True
) -> PairingRule:
    """The pairing rule with its settings; ranks share its work, which a GPU may take.

    Args:
        matching: the rule and its settings.
        a: opened side.
        b: opened side.
        device: a GPU takes the work of dense activations.
        on_ranks: whether all ranks call the rule; False for one that a single rank calls alone.

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
    if matching.name not in BY_WEIGHTS:
        if "find" not in parameters and not takes_any:  # a rule of the caller's that finds partners itself
            return rule
        where = str(device) if device.type == "cuda" else "cpu"
        return partial(rule, find=partial(best_partners_on_ranks if on_ranks else best_partners, device=where))
    if a.model.d_model != b.model.d_model:
        problem = f"compares weights, but they are of width {a.model.d_model} and {b.model.d_model}"
        raise InvalidArgument(
            "matching.rule", matching.name, f"{problem}; choose another rule, or two SAEs of one model"
        )
    if matching.name == PairingRuleName.sae_match:
        return partial(rule, assignment=assign_weights(a.folded_weights(), b.folded_weights()))
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


def describe_features(
    side: OpenSide,
    acts: FeatureActivations,
    units: TextUnits,
    n_top_tokens: int,
    decoder_rows: str = DecoderRows.unit,
) -> FeatureSpace:
    """Activations, top tokens and decoder rows of a side.

    Args:
        side: the opened side.
        acts: its activations on the units of text, from `TokenisedCorpus.on_units`.
        units: those units, from `TokenisedCorpus.units`.
        n_top_tokens: per feature.
        decoder_rows: `unit` for rows of unit norm, or `raw`.
    """
    top = top_tokens(acts, units.ids, units.strings, n_top_tokens)
    return FeatureSpace(acts, top, side.decoder_rows(decoder_rows))


def filter_pairs(
    pairs: FeaturePairs,
    a: FeatureSpace,
    b: FeatureSpace,
    filters: Filters,
    special_tokens: list[str],
    q_value: Float64[np.ndarray, " n_pairs"] | None = None,
) -> Pairing:
    """Mark the pairs that a filter drops, in the order of the paper, and count what each leaves.

    Args:
        pairs: as a rule made them.
        a: with the top tokens of A's features.
        b: with those of B's.
        filters: which filters are on.
        special_tokens: of both tokenizers; non-concept tokens like those of `filters`.
        q_value: of every pair, for the filter that sets its maximum.

    Raises:
        InvalidArgument: a maximum of q-values, and no q-value.
    """
    q_value = np.full(len(pairs), np.nan) if q_value is None else q_value
    if filters.maximum_q_value is not None and len(pairs) and np.isnan(q_value).all():
        problem = "needs q-values; compare at least two sequences, whose permutations give them"
        raise InvalidArgument("maximum_q_value", filters.maximum_q_value, problem)
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
        (
            "maximum_q_value",
            filters.maximum_q_value is not None,
            partial(maximum_q_value, q_value=q_value, threshold=filters.maximum_q_value or 0.0),
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
