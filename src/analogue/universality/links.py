"""Two spaces: each feature's best partner in the other, tested against permuted sequences, and the links of both."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, Standardised, best_partners
from analogue.significance import (
    benjamini_hochberg,
    critical_correlations,
    highest_by_partners,
    highest_by_walk,
    is_worth_walking,
    p_values_of_highest,
    permuted_tokens,
)
from analogue.significance.draws import map_over_threads
from analogue.significance.p_values import ROUNDING

Q = 0.02
"""False discovery rate of the features of one space that have a partner in another."""


@dataclass(frozen=True, eq=False)
class Partners:
    """The features of one space, each with its best partner in another.

    Attributes:
        feature: (d_sae,) the partner; -1 for a feature without variance.
        correlation: (d_sae,) with the partner; NaN for a feature without variance.
        p_value: (d_sae,) of that correlation among those that permuted sequences give.
        q_value: (d_sae,) after Benjamini and Hochberg's correction over the space.
        critical: (d_sae,) what a correlation must exceed to be beyond chance.
    """

    feature: Int64[np.ndarray, " d_sae"]
    correlation: Float64[np.ndarray, " d_sae"]
    p_value: Float64[np.ndarray, " d_sae"]
    q_value: Float64[np.ndarray, " d_sae"]
    critical: Float64[np.ndarray, " d_sae"]

    def is_beyond_chance(self, q: float = Q) -> np.ndarray:
        """(d_sae,) which features have a partner beyond chance."""
        return np.nan_to_num(self.q_value, nan=1.0) <= q


@dataclass(frozen=True, eq=False)
class Links:
    """Features of two spaces that are each other's best partner.

    Attributes:
        feature_a: (n_links,) ascending, each once.
        feature_b: (n_links,) each once.
        correlation: (n_links,) of the two.
        is_strong: (n_links,) whether the correlation is beyond chance for both. Weak links join no clusters, but tell
            whether two clusters agree.
    """

    feature_a: Int64[np.ndarray, " n_links"]
    feature_b: Int64[np.ndarray, " n_links"]
    correlation: Float64[np.ndarray, " n_links"]
    is_strong: Bool[np.ndarray, " n_links"]

    def strong(self) -> "Links":
        """Those beyond chance."""
        return Links(*(each[self.is_strong] for each in vars(self).values()))


def partners_beyond_chance(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    lengths: Int64[np.ndarray, " n_sequences"],
    n_draws: int,
    seed: int,
    q: float = Q,
) -> tuple[Partners, Partners]:
    """Every feature's best partner in the other space, and whether it is beyond chance, in both directions.

    The highest of many correlations is compared with the highest of equally many when B's sequences are permuted
    against A's. Features with similar firing counts share draws, see `analogue.significance.pair_evidence`.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        lengths: (n_sequences,) tokens in each sequence.
        n_draws: permutations, at least 1.
        seed: of the draws.
        q: the false discovery rate that `Partners.critical` belongs to.
    """
    forward, backward = best_partners(acts_a, acts_b, direction="both")
    walks = is_worth_walking(acts_a, acts_b)
    highest = highest_by_walk(acts_a, acts_b) if walks else highest_by_partners(acts_a, acts_b, best_partners)

    def draw(i: int) -> tuple[np.ndarray, np.ndarray]:
        order = permuted_tokens(lengths, np.random.default_rng([seed, i // 2]))
        return highest(np.argsort(order) if i % 2 else order)  # with the inverse, A and B may change places

    draws = tuple(np.empty((n_draws, acts.d_sae)) for acts in (acts_a, acts_b))
    for i, drawn in enumerate(map_over_threads(draw, range(n_draws), walks)):
        for side, values in zip(draws, drawn, strict=True):
            side[i] = values
    return _tested(forward, draws[0], acts_a, q), _tested(backward, draws[1], acts_b, q)


def links_of(acts_a: FeatureActivations, acts_b: FeatureActivations, a: Partners, b: Partners, q: float = Q) -> Links:
    """Features that are each other's best partner; strong where both are beyond chance."""
    found = (BestPartners(side.feature[:, None], side.correlation[:, None]) for side in (a, b))
    strong = a.is_beyond_chance(q), b.is_beyond_chance(q)
    feature_a, feature_b, correlation = mutual_partners(acts_a, acts_b, *found)
    return Links(feature_a, feature_b, correlation, strong[0][feature_a] & strong[1][feature_b])


def links_on(acts_a: FeatureActivations, acts_b: FeatureActivations, a: Partners, b: Partners) -> Links:
    """Links on other tokens; a link is strong if its correlation exceeds the critical ones of `a` and `b`."""
    found = best_partners(acts_a, acts_b, direction="both")
    feature_a, feature_b, correlation = mutual_partners(acts_a, acts_b, *found)
    needed = np.maximum(a.critical[feature_a], b.critical[feature_b])
    return Links(feature_a, feature_b, correlation, correlation > needed + ROUNDING)


def mutual_partners(
    acts_a: FeatureActivations, acts_b: FeatureActivations, a_to_b: BestPartners, b_to_a: BestPartners
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Features that are each other's best partner; features that tie each get a different partner.

    Features with the same activations, up to their scale, tie as partners: each of n in one space has the same
    correlation with each of n in the other, and all of them find the lowest. They are told apart by their order.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        a_to_b: the best partner of every feature of A.
        b_to_a: that of every feature of B.

    Returns:
        Features of A, ascending, those of B, and their correlations.
    """
    best_a, best_b = a_to_b.correlations[:, 0], b_to_a.correlations[:, 0]
    feature_a, feature_b = _mutual(a_to_b.indices[:, 0], b_to_a.indices[:, 0])
    while True:
        free_a, free_b = (np.nan_to_num(best, nan=-1.0) > 0 for best in (best_a, best_b))
        free_a[feature_a] = free_b[feature_b] = False
        left_a = np.flatnonzero(free_a & np.isin(best_a, best_b[free_b]))
        left_b = np.flatnonzero(free_b & np.isin(best_b, best_a[left_a]))
        if not len(left_a) or not len(left_b):
            break
        again = best_partners(acts_a, acts_b, direction="both", subset_a=left_a, subset_b=left_b)
        of_a, of_b = np.full(len(best_a), -1), np.full(len(best_b), -1)
        for partner, left, best, found in ((of_a, left_a, best_a, again[0]), (of_b, left_b, best_b, again[1])):
            ties = found.correlations[:, 0] == best[left]
            partner[left[ties]] = found.indices[ties, 0]
        more_a, more_b = _mutual(of_a, of_b)
        if not len(more_a):
            break
        feature_a, feature_b = np.append(feature_a, more_a), np.append(feature_b, more_b)
    order = np.argsort(feature_a)
    return feature_a[order], feature_b[order], best_a[feature_a[order]]


def _mutual(partner_of_a: np.ndarray, partner_of_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    alive = np.flatnonzero(partner_of_a >= 0)
    feature_a = alive[partner_of_b[partner_of_a[alive]] == alive]
    return feature_a, partner_of_a[feature_a]


def _tested(found: BestPartners, draws: np.ndarray, acts: FeatureActivations, q: float) -> Partners:
    live = Standardised.of(acts).live
    observed, n_active = found.correlations[:, 0], acts.n_active()[live]
    p_value, critical = np.full(acts.d_sae, np.nan), np.full(acts.d_sae, np.inf)
    p_value[live] = p_values_of_highest(observed[live], draws[:, live], n_active)
    q_value = benjamini_hochberg(p_value)
    discovered = p_value[np.nan_to_num(q_value, nan=1.0) <= q]
    # The largest p-value that is a discovery; where there is none, what a single one would need.
    level = discovered.max() if len(discovered) else q / max(1, len(live))
    critical[live] = critical_correlations(draws[:, live], n_active, level)
    return Partners(found.indices[:, 0], observed, p_value, q_value, critical)
