"""The pairing rules against the same rules on a dense correlation matrix."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.spatial import distance

from analogue.features import FeatureActivations
from analogue.matching import (
    RULES,
    FeaturePairs,
    SubsetCorrelations,
    best_partners,
    cosine,
    greedy,
    hungarian,
    max_correlation,
    mutual,
    optimal_transport,
    paired_cosines,
)
from analogue.matching.optimal_transport import sinkhorn
from analogue.options import Direction
from tests.matching.test_best_partners import dense_correlations, random_activations

SHAPES = [(40, 12, 9), (60, 30, 50), (200, 80, 60), (30, 1, 5)]
BY_WEIGHTS = ("cosine", "sae_match")
WITHOUT_DECODERS = [name for name in RULES if name not in BY_WEIGHTS]


def sides(shape: tuple[int, int, int], seed: int = 0) -> tuple[FeatureActivations, FeatureActivations, np.ndarray]:
    """Two sides and their correlation matrix, NaN for what has no variance; some features of B copy one of A."""
    n, d_a, d_b = shape
    rng = np.random.default_rng([seed, *shape])
    a, b = (random_activations(rng, n, d, 0.1, np.float32) for d in (d_a, d_b))
    copies = rng.random(d_b) < 0.4
    noise = rng.random((n, d_b)) * (rng.random((n, d_b)) < 0.05)
    b = np.where(copies, a[:, rng.integers(0, d_a, d_b)] + noise, b).astype(np.float32)
    return FeatureActivations.from_dense(a), FeatureActivations.from_dense(b), dense_correlations(a, b)


def as_set(pairs: FeaturePairs) -> set[tuple[int, int]]:
    return set(zip(pairs.feature_a.tolist(), pairs.feature_b.tolist(), strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", WITHOUT_DECODERS)
def test_every_rule_returns_pairs_in_the_claiming_sides_order(name: str, shape: tuple[int, int, int]) -> None:
    a, b, corr = sides(shape)
    for direction in ("a_to_b", "b_to_a"):
        pairs = RULES[name](a, b, direction)
        claiming = pairs.feature_a if direction == "a_to_b" else pairs.feature_b
        assert (np.diff(claiming) > 0).all()
        assert pairs.kept.all()
        np.testing.assert_allclose(pairs.correlation, corr[pairs.feature_a, pairs.feature_b], atol=1e-10)
        np.testing.assert_array_equal(pairs.n_active_a, a.n_active()[pairs.feature_a])
        np.testing.assert_array_equal(pairs.n_active_b, b.n_active()[pairs.feature_b])


@pytest.mark.parametrize("name", ["mutual", "greedy", "hungarian"])
def test_one_to_one_rules_do_not_depend_on_the_direction(name: str) -> None:
    a, b, _ = sides((200, 80, 60))
    pairs = RULES[name](a, b)
    assert len(set(pairs.feature_a.tolist())) == len(set(pairs.feature_b.tolist())) == len(pairs) > 20
    assert as_set(RULES[name](a, b, "b_to_a")) == as_set(pairs)


@pytest.mark.parametrize("name", WITHOUT_DECODERS)
def test_dead_sides_have_no_pairs(name: str) -> None:
    dead = FeatureActivations.from_dense(np.zeros((6, 4)))
    alive = FeatureActivations.from_dense(np.eye(6))
    for a, b in ((dead, dead), (dead, alive), (alive, dead)):
        assert len(RULES[name](a, b)) == 0
        assert len(RULES[name](a, b, "b_to_a")) == 0


def test_mutual_is_where_both_directions_agree() -> None:
    for seed in range(5):
        a, b, _ = sides((60, 30, 50), seed)
        both_ways = as_set(max_correlation(a, b)) & as_set(max_correlation(a, b, "b_to_a"))
        assert as_set(mutual(a, b)) == both_ways
        assert both_ways


def greedy_by_sorting(corr: np.ndarray) -> set[tuple[int, int]]:
    """From the definition; correlations that differ by rounding alone tie."""
    edges = sorted((-round(r, 10), i, j) for (i, j), r in np.ndenumerate(corr) if r > 1e-10)
    free_a, free_b, pairs = set(range(corr.shape[0])), set(range(corr.shape[1])), set()
    for _, i, j in edges:
        if i in free_a and j in free_b:
            free_a.remove(i)
            free_b.remove(j)
            pairs.add((i, j))
    return pairs


@pytest.mark.parametrize("k", [1, 2, 5, 100])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_equals_sorting_the_whole_matrix_whatever_k(k: int, seed: int) -> None:
    a, b, corr = sides((200, 80, 60), seed)
    expected = greedy_by_sorting(corr)
    assert as_set(greedy(a, b, k=k)) == expected
    assert len(expected) > 30


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_hungarian_has_the_highest_total_of_all(shape: tuple[int, int, int]) -> None:
    a, b, corr = sides(shape)
    gains = np.nan_to_num(np.maximum(corr, 0))
    best = gains[linear_sum_assignment(gains, maximize=True)].sum()
    dense, sparse = hungarian(a, b), hungarian(a, b, k=max(shape))
    assert dense.correlation.sum() == pytest.approx(best, abs=1e-9)
    assert sparse.correlation.sum() == pytest.approx(best, abs=1e-9)
    assert (dense.correlation > 0).all()
    assert as_set(hungarian(b, a)) == {(j, i) for i, j in as_set(dense)}


def test_hungarian_matches_what_few_candidates_allow() -> None:
    # All three features of A have one candidate, the same; two of them stay without a partner.
    dense_a = np.array([[1.0, 1, 1], [2, 2.1, 2.2], [0, 0, 0], [0, 0, 0], [0, 0, 0.1]])
    dense_b = np.array([[1.0, 0], [2, 0], [0, 1], [0, 0], [0, 0]])
    pairs = hungarian(FeatureActivations.from_dense(dense_a), FeatureActivations.from_dense(dense_b), k=1)
    assert as_set(pairs) == {(0, 0)}
    a, b, _ = sides((200, 80, 60))
    totals = [hungarian(a, b, k=k).correlation.sum() for k in (1, 2, 4, 80)]
    assert totals == sorted(totals)


def test_hungarian_gives_up_a_best_pair_for_a_better_total() -> None:
    r = np.random.default_rng(0)
    z1, z2 = r.random((2, 400)) * (r.random((2, 400)) < 0.5)
    a = np.column_stack([z1 + 0.8 * z2, z1])
    b = np.column_stack([z1 + 0.3 * z2, z2])
    corr = dense_correlations(a, b)
    assert corr[0].argmax() == corr[1].argmax() == 0
    found = hungarian(FeatureActivations.from_dense(a), FeatureActivations.from_dense(b))
    assert as_set(found) == {(0, 1), (1, 0)}


@pytest.mark.parametrize(("regularisation", "relaxation"), [(0.02, 1.0), (0.1, 1.0), (0.1, 0.2)])
def test_the_plan_is_the_cheapest(regularisation: float, relaxation: float) -> None:
    r = np.random.default_rng(1)
    costs = r.random((4, 6))
    kernel = np.exp(-costs / regularisation)
    rows, columns = sinkhorn(csr_array(kernel), relaxation / (relaxation + regularisation))
    plan = kernel * np.outer(rows, columns)

    def price(plan: np.ndarray) -> float:
        marginals = np.concatenate([plan.sum(axis=0), plan.sum(axis=1)])
        divergence = (marginals * np.log(marginals) - marginals + 1).sum()
        return float((plan * costs + regularisation * plan * (np.log(plan) - 1)).sum() + relaxation * divergence)

    for _ in range(50):
        assert price(plan * np.exp(0.01 * r.standard_normal(plan.shape))) > price(plan)


def test_transport_without_relaxation_keeps_all_masses() -> None:
    kernel = np.exp(np.random.default_rng(0).random((9, 9)) / 0.2)
    rows, columns = sinkhorn(csr_array(kernel), exponent=1.0)
    plan = kernel * np.outer(rows, columns)
    np.testing.assert_allclose(plan.sum(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(plan.sum(axis=1), 1, atol=1e-4)


def test_rules_that_weigh_both_sides_find_a_hidden_permutation() -> None:
    r = np.random.default_rng(0)
    a = r.random((300, 20)) * (r.random((300, 20)) < 0.1)
    permutation = r.permutation(20)
    b = a[:, permutation] * r.uniform(0.5, 1.5, (300, 20)) + 0.5 * (r.random((300, 20)) < 0.02)
    for name in ("mutual", "greedy", "hungarian", "optimal_transport"):
        pairs = RULES[name](FeatureActivations.from_dense(a), FeatureActivations.from_dense(b))
        assert as_set(pairs) == set(zip(permutation.tolist(), range(20), strict=True)), name


def test_optimal_transport_shares_out_a_partner_that_all_claim() -> None:
    rng = np.random.default_rng(0)
    z = rng.random(500) * (rng.random(500) < 0.2)
    near, nearer = z + 0.1 * rng.random(500) * (z > 0), z + 0.02 * rng.random(500) * (z > 0)
    a = FeatureActivations.from_dense(np.column_stack([near, nearer]))
    b = FeatureActivations.from_dense(np.column_stack([z, z * (rng.random(500) < 0.8)]))
    assert max_correlation(a, b).feature_b.tolist() == [0, 0]
    assert optimal_transport(a, b, regularisation=0.01).feature_b.tolist() == [1, 0]


def test_paired_cosines_are_those_of_scipy_and_zero_for_zero_rows() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 9, 5)).astype(np.float32)
    y[3] = 0.0
    expected = [1 - distance.cosine(*rows) if rows[1].any() else 0.0 for rows in zip(x.astype(float), y, strict=True)]
    np.testing.assert_allclose(paired_cosines(x, torch.from_numpy(y)), expected, atol=1e-12)
    assert paired_cosines(x, 3 * x).max() <= 1.0
    assert paired_cosines(x[:0], y[:0]).shape == (0,)


def test_equal_decoder_rows_tie_to_the_lowest_feature() -> None:
    rng = np.random.default_rng(1)
    acts = FeatureActivations.from_dense(rng.random((20, 333)) < 0.3)
    rows = np.tile(rng.standard_normal((9, 71)), (37, 1))
    pairs = cosine(acts, acts, decoder_a=rows, decoder_b=rows)
    np.testing.assert_array_equal(pairs.feature_b, pairs.feature_a % 9)


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_cosine_pairs_live_features_by_decoder_rows(direction: str) -> None:
    a, b, corr = sides((60, 30, 50))
    rng = np.random.default_rng(0)
    w_a, w_b = 3 * rng.standard_normal((30, 8)) + 1, rng.standard_normal((50, 8))
    pairs = cosine(a, b, direction, decoder_a=w_a, decoder_b=w_b)
    cosines = w_a @ w_b.T / np.outer(np.linalg.norm(w_a, axis=1), np.linalg.norm(w_b, axis=1))
    cosines[np.isnan(corr)] = -np.inf
    if direction == "b_to_a":
        cosines = cosines.T
    claiming, claimed = pairs.feature_a, pairs.feature_b
    if direction == "b_to_a":
        claiming, claimed = claimed, claiming
    np.testing.assert_array_equal(claiming, np.flatnonzero(np.isfinite(cosines).any(axis=1)))
    np.testing.assert_array_equal(claimed, cosines[claiming].argmax(axis=1))
    np.testing.assert_allclose(pairs.correlation, corr[pairs.feature_a, pairs.feature_b], atol=1e-10)


SETTINGS = {
    "greedy": {"k": 3},
    "hungarian": {"k": 60},
    "optimal_transport": {"k": 5, "regularisation": 0.02, "relaxation": 2.0},
    "cosine": {"decoder_a": np.ones((80, 4)), "decoder_b": np.ones((60, 4))},
    "sae_match": {"assignment": (np.arange(60), np.arange(60)[::-1])},
}


@pytest.mark.parametrize("name", RULES)
def test_settings_are_bound_and_every_rule_is_called_alike(name: str) -> None:
    """As the shell does: settings from the configuration, and partners found by a function of its own."""
    a, b, _ = sides((200, 80, 60))
    rule, calls = partial(RULES[name], **SETTINGS.get(name, {})), []

    def find(*arguments, **named):
        calls.append(named["direction"])
        return best_partners(*arguments, **named)

    for direction in Direction:
        found, expected = rule(a, b, direction, find=find), rule(a, b, str(direction))
        for column, array in vars(found).items():
            np.testing.assert_array_equal(array, getattr(expected, column))
    assert bool(calls) == (name not in BY_WEIGHTS)


def test_bad_input() -> None:
    a, b, _ = sides((40, 12, 9))
    for name in WITHOUT_DECODERS:
        with pytest.raises(ValueError, match="direction=both: is not an option"):
            RULES[name](a, b, "both")
        with pytest.raises(ValueError, match="same tokens, got 40 and 3"):
            RULES[name](a, FeatureActivations.from_dense(np.eye(3)))
    for rule in (greedy, hungarian, optimal_transport):
        with pytest.raises(ValueError, match=r"^k=0: must be at least 1"):
            rule(a, b, k=0)
    for bad in ({"regularisation": 0.001}, {"regularisation": np.nan}, {"relaxation": 0}, {"relaxation": np.nan}):
        with pytest.raises(ValueError, match=rf"^{next(iter(bad))}=[\d.na]+: expected (at least 0\.005|a positive)"):
            optimal_transport(a, b, **bad)
    with pytest.raises(ValueError, match=r"decoder_b of shape \(9, d_model\), got \(8, 4\)"):
        cosine(a, b, decoder_a=np.ones((12, 4)), decoder_b=np.ones((8, 4)))
    with pytest.raises(ValueError, match="one model, got d_model 4 and 5"):
        cosine(a, b, decoder_a=np.ones((12, 4)), decoder_b=np.ones((9, 5)))


def test_subset_correlations_equal_the_rule_among_those_features() -> None:
    a, b, corr = sides((200, 80, 60))
    rng = np.random.default_rng(0)
    correlations = SubsetCorrelations(a, b)
    np.testing.assert_array_equal(correlations.live_a, np.flatnonzero(~np.isnan(corr).all(axis=1)))
    np.testing.assert_array_equal(correlations.live_b, np.flatnonzero(~np.isnan(corr).all(axis=0)))
    for n_a, n_b in ((1, 1), (9, 4), (0, 3), (3, 0), (80, 60)):
        some_a, some_b = (np.sort(rng.choice(d, n, replace=False)) for d, n in ((80, n_a), (60, n_b)))
        np.testing.assert_allclose(correlations.matrix(some_a, some_b), corr[np.ix_(some_a, some_b)], atol=1e-10)
        for direction in ("a_to_b", "b_to_a"):
            pairs = correlations.max_correlation(some_a, some_b, direction)
            only = (only_features(side, some) for side, some in ((a, some_a), (b, some_b)))
            expected = max_correlation(*only, direction)
            for name, array in vars(pairs).items():
                np.testing.assert_array_equal(array, getattr(expected, name))


def only_features(acts: FeatureActivations, features: np.ndarray) -> FeatureActivations:
    """The same width, all other features dead."""
    dense = acts.to_scipy().toarray()
    dense[:, np.setdiff1d(np.arange(acts.d_sae), features)] = 0
    return FeatureActivations.from_dense(dense)


def test_subset_correlations_of_large_spaces_take_their_own_products(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _ = sides((200, 80, 60))
    whole = SubsetCorrelations(a, b)
    monkeypatch.setattr("analogue.matching.subsets._WHOLE_ENTRIES", 0)
    piecewise = SubsetCorrelations(a, b)
    some_a, some_b = np.array([3, 8, 40, 79]), np.array([0, 7, 59])
    np.testing.assert_array_equal(piecewise.matrix(some_a, some_b), whole.matrix(some_a, some_b))
    np.testing.assert_allclose(
        piecewise.paired(some_a[:3], some_b), np.diag(whole.matrix(some_a[:3], some_b)), atol=1e-12
    )
    with pytest.raises(ValueError, match="same tokens, got 200 and 3"):
        SubsetCorrelations(a, FeatureActivations.from_dense(np.eye(3)))
