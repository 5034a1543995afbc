"""Pairs against permuted sequences."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import kstest

from analogue.features import FeatureActivations
from analogue.matching import RULES, best_partners, max_correlation
from analogue.matching.highest import HighestCorrelations
from analogue.significance import (
    benjamini_hochberg,
    critical_correlations,
    highest_by_partners,
    highest_by_rule,
    highest_by_walk,
    pair_evidence,
    permuted_tokens,
)
from analogue.significance.permuted import p_values_of_highest, positional_share

LENGTHS = np.array([40, 40, 40, 40, 40, 40, 40, 40, 40, 40])
UNEQUAL = np.array([7, 90, 0, 31, 31, 55, 12, 74, 60, 40])


def sparse(seed: int, d: int = 30, n: int = 400, signed: bool = False) -> np.ndarray:
    """Features of all firing counts, of other scales; one that never fires, one constant, one that always fires."""
    r = np.random.default_rng(seed)
    acts = (r.random((n, d)) < r.permutation(np.geomspace(0.003, 0.5, d))) * r.gamma(1.5, 2.0, (n, d))
    acts *= np.exp(r.standard_normal(d))
    acts[:, 3], acts[:, 4], acts[:, 5] = 0.0, 2.5, 100 + r.random(n)
    return acts * np.where(r.random((n, d)) < 0.3, -1, 1) if signed else acts


def of(dense: np.ndarray) -> FeatureActivations:
    return FeatureActivations.from_dense(dense)


@pytest.mark.parametrize("lengths", [LENGTHS, UNEQUAL], ids=["equal", "unequal"])
def test_every_token_comes_once_and_from_any_sequence(lengths):
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    position = np.concatenate([np.arange(length) for length in lengths])
    stays, moved = [], []
    for seed in range(200):
        order = permuted_tokens(lengths, np.random.default_rng(seed))
        assert sorted(order) == [*range(lengths.sum())]
        stays.append((sequence[order] == sequence).mean())
        moved.append((position[order] != position).mean())
    if lengths is LENGTHS:
        assert np.mean(stays) == pytest.approx(1 / len(lengths), abs=0.02)  # as in uniform permutations
        assert max(moved) == 0
    assert np.mean(stays) < 0.25  # what is left over of long sequences
    assert np.mean(moved) < 0.7


def test_one_sequence_cannot_be_permuted():
    with pytest.raises(ValueError, match="at least two sequences to permute, got 1"):
        permuted_tokens(np.array([0, 8]), np.random.default_rng(0))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("d_a", "d_b"), [(30, 45), (60, 6)])
def test_the_walk_finds_what_best_partners_find_in_permuted_activations(signed, d_a, d_b):
    a, b = sparse(0, d_a, signed=signed), sparse(1, d_b, signed=signed)
    highest = HighestCorrelations(of(a), of(b))
    spread = [np.where(np.ptp(each, axis=0) > 0, each.std(0), np.inf) for each in (a, b)]
    silent = -np.outer(a.mean(0) / spread[0], b.mean(0) / spread[1])  # of features that never fire together
    for seed in range(3):
        order = permuted_tokens(LENGTHS, np.random.default_rng(seed))
        expected = best_partners(of(a), of(b[order]), direction="both", engine="walk")
        for found, side, apart in zip(highest(order), expected, (silent.max(1), silent.max(0)), strict=True):
            correlation = side.correlations[:, 0]
            np.testing.assert_array_equal(np.isnan(found), np.isnan(correlation))
            higher = correlation > apart + 1e-12
            np.testing.assert_array_equal(found[higher], correlation[higher])
            rest = ~higher & ~np.isnan(correlation)
            assert (found[rest] >= correlation[rest]).all()
            assert (found[rest] <= apart[rest] + 1e-6).all()


def test_every_way_finds_the_same_evidence():
    a, b = of(sparse(0)), of(sparse(1, 40))
    pairs = max_correlation(a, b)
    ways = (
        highest_by_walk(a, b),
        highest_by_partners(a, b, partial(best_partners, engine="dense", device="cpu")),
    )
    one, other = (pair_evidence(pairs, a, b, LENGTHS, each, 30, seed=1, threads=False) for each in ways)
    np.testing.assert_allclose(one.p_value, other.p_value)
    np.testing.assert_allclose(one.b.p_value, other.b.p_value)


@pytest.mark.parametrize("rule", ["mutual", "greedy", "hungarian", "optimal_transport"])
@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_the_null_goes_through_the_rule(rule, direction):
    a, b = sparse(0), sparse(1, 24)
    b[:, 10:15] = a[:, 12:17] * np.random.default_rng(2).uniform(0.7, 1.3, (400, 5))
    acts = of(a), of(b)
    pairs = RULES[rule](*acts, direction)
    highest = highest_by_rule(*acts, RULES[rule], direction)
    found = pair_evidence(pairs, *acts, LENGTHS, highest, 19, seed=4, direction=direction, pooled=False)
    side, features = (found.a, pairs.feature_a) if direction == "a_to_b" else (found.b, pairs.feature_b)
    claiming = acts[direction == "b_to_a"]
    reached = np.zeros(claiming.d_sae)
    observed = np.full(claiming.d_sae, np.inf)
    observed[features] = pairs.correlation
    for i in range(19):
        order = permuted_tokens(LENGTHS, np.random.default_rng([4, i]))
        drawn = RULES[rule](acts[0], of(b[order]), direction)
        own = drawn.feature_a if direction == "a_to_b" else drawn.feature_b
        reached[own] += drawn.correlation >= observed[own] - 1e-12
    expected = np.where(np.isinf(observed), 1.0, (1 + reached) / 20)
    expected[np.ptp(claiming.to_scipy().toarray(), axis=0) == 0] = np.nan
    np.testing.assert_allclose(side.p_value, expected)
    np.testing.assert_allclose(side.q_value, benjamini_hochberg(expected))
    np.testing.assert_allclose(found.p_value, expected[features])


def test_shared_features_are_found_and_no_others():
    r = np.random.default_rng(5)
    a, b = sparse(0, 80, 2000), sparse(1, 80, 2000)
    b[:, 20:40] = a[:, 20:40] * r.uniform(0.5, 1.5, (2000, 20)) * (r.random((2000, 20)) < 0.8)
    acts = of(a), of(b)
    pairs = max_correlation(*acts)
    found = pair_evidence(pairs, *acts, np.full(50, 40), highest_by_walk(*acts), 100, seed=0)
    beyond = set(pairs.feature_a[found.q_value <= 0.05].tolist())
    often = {i for i in range(20, 40) if (b[:, i] > 0).sum() >= 15}
    assert often <= beyond
    assert len(beyond - set(range(20, 40))) <= 2
    assert found.a.n_beyond(0.05) == len(beyond)
    assert (found.n_null, found.pooled, found.n_sequences) == (100, True, 50)
    assert found.a.n_tested == 78  # all but the silent and the constant one


def test_features_of_position_alone_are_not_beyond_chance_and_counted():
    r = np.random.default_rng(6)
    position = np.tile(np.arange(40), 50)
    sides = [sparse(seed, 30, 2000) for seed in (0, 1)]
    for side in sides:
        side[:, 7] = (position == 0) * r.uniform(0.9, 1.1, 2000)
        side[:, 8] = position / 10 + 0.1 * r.random(2000)
    acts = [of(side) for side in sides]
    pairs = max_correlation(*acts)
    found = pair_evidence(pairs, *acts, np.full(50, 40), highest_by_walk(*acts), 100, seed=0)
    positional = np.isin(pairs.feature_a, (7, 8))
    assert pairs.correlation[positional].min() > 0.9
    assert found.p_value[positional].min() > 0.05
    assert (found.a.n_positional, found.b.n_positional) == (2, 2)


def test_the_share_that_position_explains():
    dense = sparse(3, 12)
    share = positional_share(of(dense), UNEQUAL[:5].cumsum()[-1:] * 0 + 400)
    assert np.isnan(share).all()  # every token has a position of its own
    lengths = np.array([60, 100, 100, 80, 60])
    position = np.concatenate([np.arange(length) for length in lengths])
    found = positional_share(of(dense), lengths)
    for j in (0, 5, 7):
        x = dense[:, j]
        within = sum(((x[position == p] - x[position == p].mean()) ** 2).sum() for p in range(100))
        expected = 1 - within / (400 - 100) / (((x - x.mean()) ** 2).sum() / 399)
        assert found[j] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(found[[3, 4]]).all()


def test_few_sequences_are_weak_evidence_and_one_is_none():
    acts = of(sparse(0)), of(sparse(0)[:, ::-1])
    pairs, highest = max_correlation(*acts), highest_by_walk(*acts)
    few = pair_evidence(pairs, *acts, np.array([100, 100, 200]), highest, 200, seed=0)
    assert (few.n_null, few.pooled) == (200, False)
    assert few.p_value.min() > 0.1  # one in six permutations is the identity
    none = pair_evidence(pairs, *acts, np.array([400]), highest, 50, seed=0)
    assert none.n_null == 0
    assert np.isnan(none.p_value).all()
    assert np.isnan(none.q_value).all()
    with pytest.raises(ValueError, match="1 draw and 400 tokens, got 50 and 399"):
        pair_evidence(pairs, *acts, np.array([399]), highest, 50, seed=0)


def one_by_one(draws, observed):
    """Each draw measured by the others of its feature, and the observed value by all."""
    x = np.maximum(np.nan_to_num(draws), 0)
    z = np.empty_like(x)
    for k in range(len(x)):
        others = np.delete(x, k, axis=0)
        z[k] = (x[k] - others.mean(0)) / others.std(0, ddof=1)
    return z, (np.maximum(observed, 0) - x.mean(0)) / x.std(0, ddof=1)


def test_pooled_p_values_are_those_of_the_group_where_no_own_draw_reaches():
    r = np.random.default_rng(0)
    scale, shift = np.exp(r.standard_normal(300)) / 9, r.random(300) / 9  # features whose draws are not alike
    draws, observed = r.random((20, 300)) * scale + shift, r.random(300) * 1.1 * scale + shift
    observed[5], draws[3, 7] = np.nan, np.nan
    n_active = r.integers(1, 50, 300)
    own, pooled = p_values_of_highest(observed, draws), p_values_of_highest(observed, draws, n_active)
    assert own[5] == pooled[5] == 1
    reached = own > 1 / 21 + 1e-9
    assert 10 < (~reached).sum() < 100
    np.testing.assert_array_equal(own[reached], pooled[reached])
    groups = np.array_split(np.argsort(n_active, kind="stable"), 4)
    z, z_observed = one_by_one(draws, observed)
    for i in np.flatnonzero(~reached):
        (group,) = (group for group in groups if i in group)
        assert pooled[i] == pytest.approx((1 + (z[:, group] >= z_observed[i] - 1e-9).sum()) / (1 + z[:, group].size))
    for p in (0.0005, 0.002, 0.01, 0.05, 0.2):
        critical = critical_correlations(draws, n_active, p)
        p_value = p_values_of_highest(critical + 1e-9, draws, n_active)
        assert (p_value[np.isfinite(critical)] <= p).all()
        assert (p_values_of_highest(np.minimum(critical, 9) - 1e-9, draws, n_active) > p).all()


def test_a_correlation_that_rests_on_one_token_is_not_beyond_chance():
    """In 40 sequences: draws in which no sequence may stay repeat each other, and never such a coincidence."""
    found = 0
    for seed in range(40):
        r = np.random.default_rng([seed, 77])
        sides = [(r.random((4000, 128)) < 0.004) * r.gamma(1.0, 2.0, (4000, 128)) for _ in "ab"]
        acts = [of(side) for side in sides]
        pairs = max_correlation(*acts)
        evidence = pair_evidence(pairs, *acts, np.full(40, 100), highest_by_walk(*acts), 50, seed)
        found += evidence.a.n_beyond(0.05) > 0
    assert found <= 5  # of 40 at a rate of 5 %, at most so many in 97 %


@pytest.mark.parametrize("pooled", [False, True])
def test_p_values_are_uniform_with_nothing_shared(pooled):
    """Ten sequences, in which most features fire in few."""
    p = []
    for seed in range(60):
        acts = of(sparse(2 * seed, 80)[:, 6:]), of(sparse(2 * seed + 1, 80)[:, 6:])
        found = pair_evidence(max_correlation(*acts), *acts, LENGTHS, highest_by_walk(*acts), 39, seed, pooled=pooled)
        p.append(found.a.p_value[np.isfinite(found.a.p_value)])
    assert kstest([each[seed % len(each)] - 0.5 / 40 for seed, each in enumerate(p)], "uniform").pvalue > 0.01
    every = np.concatenate(p)
    assert 0.01 < (every <= 0.05).mean() < 0.06  # a feature of one sequence has hardly a p below 1 / 10
    assert (every <= 0.002).mean() < 0.006
