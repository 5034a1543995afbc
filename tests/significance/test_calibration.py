"""From activations to p-values where it is known what is shared (a quick form of `benchmarks.validity`)."""

import numpy as np
import pytest

from analogue.significance import score_against_null
from benchmarks.validity import Found, pair, uniformity
from benchmarks.validity_spaces import make_decoders, make_spaces

METRICS = ["svcca", "svcca_pc1", "rsa", "cka_debiased", "procrustes", "mutual_knn"]
N_NULL = 39


@pytest.fixture(scope="module")
def unrelated() -> list[Found]:
    """Many pairs of spaces that share nothing."""
    found = []
    for seed in range(80):
        x, y = make_decoders(np.array([], dtype=int), 100, 0.5, np.random.default_rng(seed))
        results = {result.metric: result for result in score_against_null(x, y, METRICS, N_NULL, seed)}
        found.append(Found(0.0, 0.5, np.nan, np.nan, 100, results))
    return found


@pytest.mark.parametrize("metric", METRICS)
def test_p_values_are_uniform_where_nothing_is_shared(unrelated: list[Found], metric: str) -> None:
    assert uniformity(unrelated, metric, N_NULL)[1] > 0.001


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_unrelated_spaces_are_those_of_the_null(unrelated: list[Found], metric: str) -> None:
    z = [each.results[metric].z for each in unrelated]
    assert abs(np.mean(z)) < 4 * np.std(z) / np.sqrt(len(z))
    assert 0.7 < np.std(z) < 1.4


def test_pairs_and_power_where_half_is_shared() -> None:
    spaces = make_spaces(shared=0.5, noise=0.3, seed=0)
    pairs = pair(spaces)
    true = spaces.partner[pairs.feature_a] == pairs.feature_b
    assert true.mean() > 0.8
    assert true.sum() / (spaces.partner >= 0).sum() > 0.95
    x, y = spaces.a.decoder[pairs.feature_a], spaces.b.decoder[pairs.feature_b]
    for result in score_against_null(x, y, [name for name in METRICS if name != "svcca_pc1"], N_NULL, 0):
        assert result.p_value == 1 / (N_NULL + 1), result.metric


def test_synthetic_decoders_share_the_features_asked_for() -> None:
    x, y = make_decoders(np.arange(20), 60, 0.0, np.random.default_rng(0))
    for side in (x, y):
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1)
    np.testing.assert_allclose(x[:20] @ x[:20].T, y[:20] @ y[:20].T, atol=1e-12)
    assert not np.allclose(x[20:] @ x[20:].T, y[20:] @ y[20:].T, atol=0.1)
    spaces = make_spaces(shared=1.0, noise=0.0, seed=1)
    np.testing.assert_allclose(
        spaces.a.acts.to_scipy().toarray(), spaces.b.acts.to_scipy().toarray()[:, spaces.partner], rtol=1e-6
    )
