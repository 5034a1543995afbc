"""What an intervention does to the prediction of the next token, and whether two features do the same."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from analogue.significance import p_value


class Retrieval(NamedTuple):
    """How well the effects of A's features find those of their partners among all chosen pairs.

    Attributes:
        correlation: mean correlation of a feature's effect with its partner's.
        shuffled: mean correlation with the effects of the other pairs' partners.
        top_1: share of features whose partner's effect is the most correlated of all.
        top_5: share of those whose partner is among the five most correlated.
        mean_reciprocal_rank: mean of 1 / rank of the partner.
        chance: what `top_1` is if effects tell nothing: 1 / n_pairs.
        p_value: of the mean correlation, against shuffled partners.
        n_pairs: pairs with an effect on both sides; all values are NaN below 2.
    """

    correlation: float
    shuffled: float
    top_1: float
    top_5: float
    mean_reciprocal_rank: float
    chance: float
    p_value: float
    n_pairs: int


def log_probability_change(
    logits: Float[Tensor, "n vocab"], base: Float[Tensor, " vocab"]
) -> Float64[Tensor, "n vocab"]:
    """The effect of an intervention: log p'(token) - log p(token) in nats, of every token of the vocabulary.

    Args:
        logits: with the intervention, a row per intervention.
        base: without.
    """
    return torch.log_softmax(logits.double(), -1) - torch.log_softmax(base.double(), -1)


def effect_size(effects: Float[np.ndarray, "n vocab"]) -> Float64[np.ndarray, " n"]:
    """Root mean square of each effect over the vocabulary, in nats."""
    return np.sqrt(np.square(effects, dtype=np.float64).mean(1))


def effect_correlations(
    effects_a: Float[np.ndarray, "n_a vocab"], effects_b: Float[np.ndarray, "n_b vocab"]
) -> Float64[np.ndarray, "n_a n_b"]:
    """Pearson correlation over the vocabulary of every effect of A with every effect of B; NaN for a constant one."""
    a, b = (_standardised(effects) for effects in (effects_a, effects_b))
    return a @ b.T


def ranks(correlations: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, " n"]:
    """Rank of the partner (the diagonal) in each row, 1 for the highest; ties share a rank, NaN has none."""
    partner = np.diagonal(correlations)[:, None]
    rank = 1 + (correlations > partner).sum(1) + ((correlations == partner).sum(1) - 1) / 2
    return np.where(np.isnan(partner[:, 0]), np.nan, rank)


def retrieval(correlations: Float64[np.ndarray, "n n"], n_null: int = 1000, seed: int = 0) -> Retrieval:
    """Summarise correlations of effects, the partners on the diagonal; pairs without a correlation are left out.

    Ties count as if they were broken at random, so that effects that are all alike retrieve at chance.

    Args:
        correlations: of effect i of A with effect j of B.
        n_null: draws of shuffled partners.
        seed: of the draws.
    """
    there = ~np.isnan(np.diagonal(correlations))
    chosen = correlations[np.ix_(there, there)]
    n = len(chosen)
    if n < 2:
        nothing = float("nan")
        return Retrieval(nothing, nothing, nothing, nothing, nothing, nothing, nothing, n)
    partner = np.diagonal(chosen)
    draws = np.random.default_rng(seed)
    null = np.array([chosen[np.arange(n), draws.permutation(n)].mean() for _ in range(n_null)])
    return Retrieval(
        correlation=float(partner.mean()),
        shuffled=float((chosen.sum() - partner.sum()) / (n * (n - 1))),
        top_1=_found_within(1, chosen),
        top_5=_found_within(5, chosen),
        mean_reciprocal_rank=float((1 / ranks(chosen)).mean()),
        chance=1 / n,
        p_value=p_value(float(partner.mean()), null),
        n_pairs=n,
    )


def _found_within(k: int, correlations: Float64[np.ndarray, "n n"]) -> float:
    """Expected share of rows whose partner is among the k highest, ties broken at random."""
    partner = np.diagonal(correlations)[:, None]
    n_higher, n_tied = (correlations > partner).sum(1), (correlations == partner).sum(1)
    return float(np.clip((k - n_higher) / n_tied, 0, 1).mean())


def _standardised(effects: Float[np.ndarray, "n vocab"]) -> Float64[np.ndarray, "n vocab"]:
    """Rows of mean 0 and norm 1; NaN where a row is constant."""
    centred = effects - effects.mean(1, keepdims=True, dtype=np.float64)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, norm, out=np.full_like(centred, np.nan), where=norm > 0)
