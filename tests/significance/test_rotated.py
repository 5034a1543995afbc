import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.matching import Standardised, max_correlation
from analogue.significance import correlations_against_rotations
from analogue.significance.rotated import (
    correlations_from_moments,
    correlations_from_projections,
    random_directions,
)


def sparse(seed: int, n: int = 300, d: int = 12) -> np.ndarray:
    r = np.random.default_rng(seed)
    return (r.random((n, d)) * (r.random((n, d)) < 0.15) * 3).astype(np.float32)


def naive(a: np.ndarray, b: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    return np.corrcoef(a.T.astype(float), (b @ rotation).T)[: a.shape[1], a.shape[1] :].max(axis=1)


def baseline_of(acts: FeatureActivations, other: FeatureActivations, seed: int, n: int = 1) -> np.ndarray:
    """Of all features, whatever they are paired with."""
    features = np.arange(acts.d_sae)
    return correlations_against_rotations(np.zeros(len(features)), features, acts, other, n, seed).baseline


def test_equals_correlating_with_rotated_columns():
    a, b = sparse(0), sparse(1, d=9)
    expected = np.mean([naive(a, b, next(random_directions(9, 9, seed=[4, i]))) for i in range(3)], axis=0)
    found = baseline_of(FeatureActivations.from_dense(a), FeatureActivations.from_dense(b), seed=4, n=3)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("d", "n"), [(1, 1), (6, 6), (6, 15), (1300, 1300)])
def test_directions_of_a_rotation_are_orthogonal(d: int, n: int) -> None:
    directions = np.concatenate(list(random_directions(d, n, seed=0)), axis=1)
    assert directions.shape == (d, n)
    whole = directions[:, :d]
    np.testing.assert_allclose(whole.T @ whole, np.eye(whole.shape[1]), atol=1e-9)


def test_directions_of_many_dimensions_are_drawn_in_blocks():
    blocks = list(random_directions(5000, 1500, seed=0))
    assert [block.shape for block in blocks] == [(5000, 1024), (5000, 476)]


def test_shared_features_exceed_their_baseline_by_far():
    a = sparse(0, n=2000)
    shared = a[:, ::-1] * np.random.default_rng(2).uniform(0.7, 1.3, a.shape).astype(np.float32)
    for b, excess in ((shared, True), (sparse(3, n=2000), False)):
        acts_a, acts_b = FeatureActivations.from_dense(a), FeatureActivations.from_dense(b)
        pairs = max_correlation(acts_a, acts_b)
        baseline = correlations_against_rotations(pairs.correlation, pairs.feature_a, acts_a, acts_b, 19, seed=0)
        result = baseline.result
        assert (result.metric, result.null, result.n_null) == ("mean_correlation", "rotated", 19)
        np.testing.assert_allclose(baseline.excess, pairs.correlation - baseline.baseline)
        assert (baseline.excess.mean() > 0.2) == excess
        if not excess:
            assert abs(baseline.excess.mean()) < 0.05


def test_the_excess_is_no_test_and_has_no_p_value():
    """Rare features that share nothing exceed every rotated basis."""
    r = np.random.default_rng(0)
    frequency = np.minimum(0.5, 0.05 * np.arange(1, 121) ** -0.7 * 4)
    sides = ((r.random((3000, 120)) < r.permutation(frequency)) * r.gamma(2.0, 1.0, (3000, 120)) for _ in range(2))
    acts_a, acts_b = (FeatureActivations.from_dense(side) for side in sides)
    pairs = max_correlation(acts_a, acts_b)
    result = correlations_against_rotations(pairs.correlation, pairs.feature_a, acts_a, acts_b, 19, seed=0).result
    assert result.score > result.draws.max()
    assert (result.p_value, result.p_value_published, result.z) == (None, None, None)
    assert result.null_mean == pytest.approx(result.draws.mean())


def test_what_has_no_variance_has_no_baseline():
    a = sparse(0)
    a[:, 3], a[:, 5] = 0, 2
    acts, other, constant = (FeatureActivations.from_dense(side) for side in (a, sparse(1), np.ones((300, 1))))
    assert np.flatnonzero(np.isnan(baseline_of(acts, other, seed=0))).tolist() == [3, 5]
    assert np.isnan(baseline_of(acts, constant, seed=0)).all()


def test_bad_input():
    acts = FeatureActivations.from_dense(sparse(0))
    with pytest.raises(ValueError, match="same tokens, got 300 and 4"):
        baseline_of(acts, FeatureActivations.from_dense(np.ones((4, 2))), seed=0)
    with pytest.raises(ValueError, match="1 rotation and 1 pair, got 0 and 2"):
        correlations_against_rotations(np.ones(2), np.arange(2), acts, acts, 0, seed=0)


def test_covariances_and_projected_tokens_give_the_same_correlations() -> None:
    rng = np.random.default_rng(5)
    dense = [np.maximum(rng.standard_normal((200, d)) - 1.0, 0.0) for d in (7, 11)]
    dense[1][:, 3] = 0.0
    a, b = (FeatureActivations.from_dense(side) for side in dense)
    directions = next(random_directions(11, 11, 2))
    of_a, of_b = Standardised.of(a), b.to_scipy().astype(np.float64)
    routes = (correlations_from_moments, correlations_from_projections)
    np.testing.assert_allclose(*(route(of_a, of_b)(directions) for route in routes), atol=1e-12)
