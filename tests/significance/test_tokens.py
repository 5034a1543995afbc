"""Scores of paired features by their activations."""

import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.significance import permuted_tokens, score_on_tokens
from analogue.significance.tokens import SAMPLED_TOKENS
from analogue.similarity import METRICS, rows_of_moments

LENGTHS = np.full(10, 40)
FROM_MOMENTS = [name for name, each in METRICS.items() if each.from_moments]


def pair(n: int = 400, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Sparse activations of other scales that share half of their features; means are far from 0."""
    r = np.random.default_rng(0)
    a = (r.random((n, d)) < 0.3) * r.gamma(2, 1, (n, d)) * np.exp(r.standard_normal(d))
    b = (r.random((n, d)) < 0.2) * r.gamma(2, 1, (n, d)) * np.exp(r.standard_normal(d))
    b[:, : d // 2] = a[:, : d // 2] * r.uniform(0.5, 1.5, (n, d // 2))
    a[:, 0] += 5
    return a.astype(np.float32), b.astype(np.float32)


def moments(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = x - x.mean(0), y - y.mean(0)
    return x.T @ x, y.T @ y, x.T @ y


@pytest.mark.parametrize("name", FROM_MOMENTS)
def test_moments_stand_for_matrices_of_many_rows(name):
    a, b = (side.astype(np.float64) for side in pair())
    b[:, 3] = b[:, 4]  # and for those of lower rank
    x, y = rows_of_moments(*moments(a, b))
    assert x.shape == y.shape == (25, 12)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-9)
    assert METRICS[name](x, y) == pytest.approx(METRICS[name](a, b), abs=1e-8)


def test_scores_and_draws_are_those_of_dense_activations():
    a, b = pair()
    features = np.array([3, 0, 7, 1, 11, 5]), np.array([3, 0, 9, 1, 10, 5])
    acts = (FeatureActivations.from_dense(side) for side in (a, b))
    names = [*FROM_MOMENTS, "rsa", "cka_debiased", "mutual_knn"]
    x, y = a[:, features[0]].astype(float), b[:, features[1]].astype(float)
    for result in score_on_tokens(*acts, *features, names, LENGTHS, 5, seed=3):
        assert result.score == pytest.approx(METRICS[result.metric](x, y), abs=1e-8)
        orders = [permuted_tokens(LENGTHS, np.random.default_rng([3, i]), all_move=False) for i in range(5)]
        np.testing.assert_allclose(result.draws, [METRICS[result.metric](x, y[order]) for order in orders], atol=1e-7)
        assert (result.on, result.null, result.n_pairs) == ("activations", "permuted_sequences", 6)
        assert not result.warnings


def test_other_metrics_see_a_sample_of_many_tokens_and_say_so():
    a, b = pair(3000)
    acts = [FeatureActivations.from_dense(side) for side in (a, b)]
    svcca, rsa = score_on_tokens(*acts, np.arange(12), np.arange(12), ["svcca", "rsa"], np.full(30, 100), 19, seed=0)
    assert svcca.warnings == []
    assert rsa.warnings == [f"on {SAMPLED_TOKENS} of 3000 tokens, drawn at random"]
    assert rsa.score == pytest.approx(METRICS["rsa"](a, b), abs=0.03)
    assert svcca.p_value == rsa.p_value == 0.05


def test_one_sequence_has_scores_and_no_p_values_and_no_pairs_no_scores():
    acts = [FeatureActivations.from_dense(side) for side in pair()]
    (alone,) = score_on_tokens(*acts, np.arange(3), np.arange(3), ["cka"], np.array([400]), 19, seed=0)
    assert (alone.n_null, alone.p_value) == (0, None)
    assert alone.to_dict()["null_mean"] is None
    assert alone.score > 0.5
    (none,) = score_on_tokens(*acts, np.arange(0), np.arange(0), ["cka"], LENGTHS, 19, seed=0)
    assert (none.score, none.reason) == (None, "no pairs are left whose activations could be compared")
    with pytest.raises(ValueError, match="expected a draw"):
        score_on_tokens(*acts, np.arange(3), np.arange(3), ["cka"], LENGTHS, 0, seed=0)
