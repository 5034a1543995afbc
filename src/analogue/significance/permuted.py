"""Which features have a partner beyond chance: the highest correlation of each, compared with permuted sequences."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from analogue.options import Direction, Engine
from analogue.significance.draws import Progress, map_over_threads
from analogue.significance.p_values import ROUNDING, benjamini_hochberg

if TYPE_CHECKING:  # activations take seconds to import: tables and figures, which need p-values only, do without
    from analogue.features import FeatureActivations
    from analogue.matching import FeaturePairs, FindPartners, PairingRule

Order = Int64[np.ndarray, " n_tokens"]
Highest = tuple[Float64[np.ndarray, " d_sae_a"], Float64[np.ndarray, " d_sae_b"]]
HighestOf = Callable[[Order], Highest]
"""Each feature's highest correlation with B's tokens in an order; NaN for one that has no pair."""

# A group shares the draws of at least so many features, and there are at most so many groups.
_GROUP, _MAX_GROUPS = 64, 64
# Fewer sequences have so few permutations that the draws of a group are all but one draw.
_WORTH_POOLING = 10
_ENOUGH_TO_STANDARDISE = 3


@dataclass(frozen=True, eq=False)
class SideEvidence:
    """The features of one side, each tested for a partner beyond chance.

    Attributes:
        p_value: (d_sae,) of each feature's highest correlation; 1 for one that the rule leaves without a pair, NaN for
            one without variance.
        q_value: (d_sae,) the same after Benjamini and Hochberg's correction over the side.
        n_positional: features whose activation depends on the position in the sequence for more than half of its
            variance. Position stays as it is in every draw, so this null cannot show what such features share.
    """

    p_value: Float64[np.ndarray, " d_sae"]
    q_value: Float64[np.ndarray, " d_sae"]
    n_positional: int

    @property
    def n_tested(self) -> int:
        """Features that have variance."""
        return int(np.isfinite(self.p_value).sum())

    def n_beyond(self, q: float) -> int:
        """Features with a partner beyond chance, at a false discovery rate of q."""
        return int((self.q_value <= q).sum())


@dataclass(frozen=True, eq=False)
class PairEvidence:
    """What permuted sequences show about the pairs and about the features of both sides.

    Attributes:
        p_value: (n_pairs,) of the claiming feature of each pair; NaN where no sequence could be permuted.
        q_value: (n_pairs,) corrected over all features of the claiming side, those without a pair included.
        n_null: draws; 0 where no sequence could be permuted.
        pooled: whether features with similar firing counts share their draws; never with fewer than 10 sequences.
        n_sequences: sequences with tokens.
    """

    p_value: Float64[np.ndarray, " n_pairs"]
    q_value: Float64[np.ndarray, " n_pairs"]
    a: SideEvidence
    b: SideEvidence
    n_null: int
    seed: int
    pooled: bool
    n_sequences: int


def pair_evidence(
    pairs: "FeaturePairs",
    acts_a: "FeatureActivations",
    acts_b: "FeatureActivations",
    lengths: Int64[np.ndarray, " n_sequences"],
    highest: HighestOf,
    n: int,
    seed: int,
    direction: str = Direction.a_to_b,
    pooled: bool = True,
    threads: bool = True,
    progress: Progress | None = None,
) -> PairEvidence:
    """Test every pair, and every feature of both sides, against sequences of B permuted against A's.

    A permutation keeps how a feature fires, within sequences and overall, and removes what the two sides share, except
    what follows the position in the sequence. Each feature's partner is searched anew in every draw, by the rule that
    made the pairs, so that the highest of many correlations is compared with the highest of equally many.

    Every permutation can be drawn, the identity included, which makes a feature's p-value exact where sequences are
    exchangeable. If no draw could leave a sequence in its place, a correlation that rests on one token of one sequence
    would be found by mistake, because no draw could repeat it. N draws give no p-value below 1 / (N + 1), and among
    thousands of features only smaller p-values survive the correction.

    With `pooled`, a feature whose own draws never reach its correlation takes its p-value from the draws of a group of
    features with similar firing counts. Each feature's draws are standardised by their own mean and standard deviation;
    such p-values are right on average over the group. All other features keep the p-value of their own draws, so that a
    feature unlike its group, such as one of positions, is not found by mistake.

    Args:
        pairs: to test.
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        lengths: (n_sequences,) tokens in each sequence, in the order of the tokens.
        highest: finds the highest correlations by the rule, see `highest_by_walk`, `highest_by_partners` and
            `highest_by_rule`.
        n: number of draws, at least 1.
        seed: of the draws; draw i depends only on the seed, i and the lengths.
        direction: which side has claimed its partners.
        pooled: whether features with similar firing counts share their draws.
        threads: whether draws may run side by side.
        progress: called with the number of draws done.

    Raises:
        ValueError: n below 1, or lengths that do not sum to the number of tokens.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if n < 1 or lengths.sum() != acts_a.n_tokens:
        raise ValueError(f"expected at least 1 draw and {acts_a.n_tokens} tokens, got {n} and {lengths.sum()}")
    n_sequences = int(np.count_nonzero(lengths))
    observed = highest(np.arange(acts_a.n_tokens))
    n_draws = n if n_sequences > 1 else 0
    pooled = pooled and n_sequences >= _WORTH_POOLING
    draws = tuple(np.empty((n_draws, acts.d_sae)) for acts in (acts_a, acts_b))

    def draw_one(i: int) -> Highest:
        return highest(permuted_tokens(lengths, np.random.default_rng([seed, i])))

    for i, drawn in enumerate(map_over_threads(draw_one, range(n_draws), threads)):
        for side, values in zip(draws, drawn, strict=True):
            side[i] = values
        if progress is not None:
            progress(i + 1)
    side_a = _side(acts_a, observed[0], draws[0], lengths, pooled)
    side_b = _side(acts_b, observed[1], draws[1], lengths, pooled)
    claims_a = direction == Direction.a_to_b
    claiming, features = (side_a, pairs.feature_a) if claims_a else (side_b, pairs.feature_b)
    # A rule of the caller's own may pair a feature twice: then each pair has the evidence of the best.
    p_value, q_value = claiming.p_value[features], claiming.q_value[features]
    return PairEvidence(p_value, q_value, side_a, side_b, n_draws, seed, pooled, n_sequences)


def permuted_tokens(lengths: Int64[np.ndarray, " n_sequences"], generator: np.random.Generator) -> Order:
    """Which token of B comes to each place when sequences are permuted; all permutations are equally likely.

    Raises:
        ValueError: fewer than two sequences have tokens.
    """
    lengths = lengths[lengths > 0]
    n = len(lengths)
    if n < 2:
        raise ValueError(f"expected at least two sequences to permute, got {n}")
    return tokens_of_sequences(lengths, generator.permutation(n), generator)


def tokens_of_sequences(
    lengths: Int64[np.ndarray, " n_sequences"],
    source: Int64[np.ndarray, " n_sequences"],
    generator: np.random.Generator,
) -> Order:
    """Which token comes to stand at each place when sequence `source[s]` comes in the place of sequence s.

    A sequence keeps its positions as far as the sequence that it replaces is long. Tokens that are left over fill the
    places of longer sequences; together they are rotated by a random number of places.

    Args:
        lengths: of the sequences that have tokens, each at least 1.
        source: a permutation of the sequences.
        generator: turns the tokens that are left over.
    """
    n = len(lengths)
    starts = np.cumsum(lengths) - lengths
    sequence = np.repeat(np.arange(n), lengths)
    position = np.arange(len(sequence)) - starts[sequence]
    fits = position < lengths[source[sequence]]
    order = starts[source[sequence]] + position
    left = np.ones(len(sequence), dtype=bool)
    left[order[fits]] = False
    if left.any():
        order[~fits] = np.roll(np.flatnonzero(left), generator.integers(np.count_nonzero(left)))
    return order


def highest_by_walk(acts_a: "FeatureActivations", acts_b: "FeatureActivations") -> HighestOf:
    """Highest correlations among all partners, for sparse activations: what no permutation changes is computed once."""
    from analogue.matching.highest import HighestCorrelations

    return HighestCorrelations(acts_a, acts_b)


def highest_by_partners(acts_a: "FeatureActivations", acts_b: "FeatureActivations", find: "FindPartners") -> HighestOf:
    """Highest correlations among all partners, as `best_partners` or a function of its arguments finds them."""

    def highest(order: Order) -> Highest:
        forward, reverse = find(acts_a, acts_b.at_tokens(order), k=1, direction="both")
        return forward.correlations[:, 0], reverse.correlations[:, 0]

    return highest


def highest_by_rule(
    acts_a: "FeatureActivations", acts_b: "FeatureActivations", rule: "PairingRule", direction: str
) -> HighestOf:
    """Correlations of the pairs that a rule makes; a feature that the rule leaves without a pair has none."""

    def highest(order: Order) -> Highest:
        pairs = rule(acts_a, acts_b.at_tokens(order), direction)
        highest_a = _highest_of(pairs.correlation, pairs.feature_a, acts_a.d_sae)
        return highest_a, _highest_of(pairs.correlation, pairs.feature_b, acts_b.d_sae)

    return highest


def is_worth_walking(acts_a: "FeatureActivations", acts_b: "FeatureActivations") -> bool:
    """Whether activations are sparse enough for `highest_by_walk`."""
    from analogue.matching.partners import chosen_engine

    return chosen_engine(acts_a, acts_b, Engine.auto, "cpu") == Engine.walk


def p_values_of_highest(
    observed: Float64[np.ndarray, " n"],
    draws: Float64[np.ndarray, "n_draws n"],
    n_active: Int64[np.ndarray, " n"] | None = None,
) -> Float64[np.ndarray, " n"]:
    """(1 + c) / (1 + N) of each feature, c of its N draws reaching its correlation; pooled where `n_active` is given.

    Args:
        observed: (n,) highest correlations; NaN, for no pair, has p-value 1.
        draws: (n_draws, n) of the null; NaN, for no pair, reaches nothing.
        n_active: (n,) firing counts, by which features are pooled: those that no draw of their own reaches take
            (1 + c) / (1 + N) from all draws of their group instead, each standardised by the others of its feature.
    """
    own, null = np.nan_to_num(observed, nan=-np.inf), np.nan_to_num(draws, nan=-np.inf)
    n_reaching = (null >= own - ROUNDING).sum(axis=0)
    p_value = (1 + n_reaching) / (1 + len(null))
    if n_active is None or len(null) < _ENOUGH_TO_STANDARDISE:
        return p_value
    standardised = _StandardisedDraws.of(draws)
    z = standardised.z(own - ROUNDING)
    for group, pool in standardised.pools(n_active):
        unreached = group[n_reaching[group] == 0]
        p_value[unreached] = (1 + len(pool) - np.searchsorted(pool, z[unreached])) / (1 + len(pool))
    return p_value


def critical_correlations(
    draws: Float64[np.ndarray, "n_draws n"], n_active: Int64[np.ndarray, " n"] | None, p: float
) -> Float64[np.ndarray, " n"]:
    """What a correlation must exceed for `p_values_of_highest` to be at most p; infinite where it cannot be.

    Args:
        draws: (n_draws, n) of the null.
        n_active: (n,) firing counts, by which features are pooled; None for no pooling.
        p: in (0, 1).
    """
    null = np.sort(np.nan_to_num(draws, nan=-np.inf), axis=0)[::-1]
    n_allowed = int(np.floor(p * (1 + len(null)) + ROUNDING)) - 1
    if n_active is None or n_allowed > 0 or len(null) < _ENOUGH_TO_STANDARDISE:
        return null[n_allowed] if 0 <= n_allowed < len(null) else np.full(null.shape[1], np.inf)
    standardised, critical = _StandardisedDraws.of(draws), null[0].copy()
    for group, pool in standardised.pools(n_active):
        n_allowed = int(np.floor(p * (1 + len(pool)) + ROUNDING)) - 1
        z = pool[-1 - n_allowed] if 0 <= n_allowed < len(pool) else np.inf
        critical[group] = np.maximum(critical[group], standardised.mean[group] + standardised.sd[group] * z)
    return critical


class _StandardisedDraws(NamedTuple):
    """Draws in standard deviations from their feature's mean, so that features can share them.

    Each is measured by the mean and standard deviation of the other draws of its feature, because an observed value is
    measured by draws that it is not one of. A correlation that is not positive, or a missing pair, counts as 0.
    """

    draws: Float64[np.ndarray, "n_draws n"]
    mean: Float64[np.ndarray, " n"]
    sd: Float64[np.ndarray, " n"]

    @classmethod
    def of(cls, draws: Float64[np.ndarray, "n_draws n"]) -> "_StandardisedDraws":
        x = np.maximum(np.nan_to_num(draws, nan=0.0), 0.0)
        n, mean = len(x), x.mean(axis=0)
        sd = np.maximum(x.std(axis=0, ddof=1), ROUNDING)
        off = x - mean
        variance_of_others = ((n - 1) * sd**2 - off**2 * n / (n - 1)) / (n - 2)
        sd_of_others = np.sqrt(np.maximum(variance_of_others, ROUNDING**2))
        return cls(off * n / (n - 1) / sd_of_others, mean, sd)

    def pools(
        self, n_active: Int64[np.ndarray, " n"]
    ) -> Iterator[tuple[Int64[np.ndarray, " n_group"], Float64[np.ndarray, " n_pool"]]]:
        """Features of like firing counts, and all of their draws, ascending."""
        for group in _groups(n_active):
            yield group, np.sort(self.draws[:, group], axis=None)

    def z(self, observed: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        return (np.maximum(observed, 0.0) - self.mean) / self.sd


def _groups(n_active: Int64[np.ndarray, " n"]) -> list[Int64[np.ndarray, " n_group"]]:
    """Features of like firing counts."""
    n_groups = min(max(1, len(n_active) // _GROUP), _MAX_GROUPS)
    return np.array_split(np.argsort(n_active, kind="stable"), n_groups)


def positional_share(
    acts: "FeatureActivations", lengths: Int64[np.ndarray, " n_sequences"]
) -> Float64[np.ndarray, " d_sae"]:
    """The share of each feature's variance that the position in the sequence explains, less the share by chance.

    NaN for a feature without variance, and where there are no more tokens than positions. The share is adjusted for the
    number of positions as a coefficient of determination is (epsilon squared).
    """
    from scipy.sparse import csr_array

    from analogue.matching import Standardised

    side, n_tokens = Standardised.of(acts), acts.n_tokens
    n_at = np.array([np.count_nonzero(lengths > p) for p in range(int(lengths.max(initial=0)))])
    explained = np.full(acts.d_sae, np.nan)
    if n_tokens <= len(n_at) or n_tokens < 2:
        return explained
    position = np.concatenate([np.arange(length) for length in lengths])
    at = csr_array((1 / np.sqrt(n_at[position]), (position, np.arange(n_tokens))), shape=(len(n_at), n_tokens))
    sums = at @ side.columns.tocsr()
    between = np.asarray(sums.multiply(sums).sum(axis=0)).ravel() - side.mean_over_sd**2
    explained[:] = 1 - (1 - between) * (n_tokens - 1) / (n_tokens - len(n_at))
    explained[side.norm == 0] = np.nan
    return explained


def _side(
    acts: "FeatureActivations", observed: np.ndarray, draws: np.ndarray, lengths: np.ndarray, pooled: bool
) -> SideEvidence:
    from analogue.matching import Standardised

    live = Standardised.of(acts).live
    p_value = np.full(acts.d_sae, np.nan)
    if len(draws):
        p_value[live] = p_values_of_highest(observed[live], draws[:, live], acts.n_active()[live] if pooled else None)
    positional = positional_share(acts, lengths)
    return SideEvidence(p_value, benjamini_hochberg(p_value), int((positional > 0.5).sum()))


def _highest_of(correlation: np.ndarray, features: np.ndarray, d_sae: int) -> Any:
    highest = np.full(d_sae, -np.inf)
    np.maximum.at(highest, features, correlation)
    return np.where(np.isinf(highest), np.nan, highest)
