"""Bad input, options out of range, the registry, and warnings."""

import numpy as np
import pytest

from analogue.errors import InvalidArgument
from analogue.similarity import METRICS, cka_rbf, metric, mutual_knn, pwcca, rsa, svcca, svcca_cross_validated
from analogue.similarity.backend import centred_ranks
from analogue.similarity.cca import n_principal_components, principal_components
from analogue.similarity.neighbours import neighbour_shares
from tests.similarity.planted import awkward_pair, planted_pair, random_pair

X, Y = random_pair(1)
WITH_NAN = np.where(np.arange(Y.size).reshape(Y.shape) == 3, np.nan, Y)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[0], Y[0], r"expected two matrices \(n_pairs, d_model\), got shapes"),
        (X, Y[:-1], f"expected as many rows in x as in y, got {len(X)} and {len(X) - 1}"),
        (X[:2], Y[:2], r"expected at least \d pairs, got 2"),
        (X, WITH_NAN, "expected finite entries, got 1 NaN or infinite in y"),
        (np.full_like(X, np.inf), Y, f"expected finite entries, got {X.size} NaN or infinite in x"),
    ],
)
def test_bad_matrices(name, x, y, message):
    with pytest.raises(ValueError, match=message):
        METRICS[name](x, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: svcca(X, Y, variance=0.0), r"expected variance in \(0, 1\], got 0.0"),
        (lambda: svcca(X, Y, variance=99), r"expected variance in \(0, 1\], got 99"),
        (lambda: svcca(X, Y, n_components=0), "n_components=0: must be at least 1"),
        (lambda: rsa(X, Y, inner="manhattan"), "inner=manhattan: is not an option; choose from euclidean"),
        (lambda: rsa(X, Y, outer="cosine"), "outer=cosine: is not an option; choose from spearman"),
        (lambda: pwcca(X, Y, weights="mine"), "weights=mine: is not an option; choose from published"),
        (lambda: cka_rbf(X, Y, bandwidth=0.0), "expected a positive bandwidth, got 0.0"),
        (lambda: mutual_knn(X, Y, k=0), "k=0: must be at least 1"),
        (lambda: mutual_knn(X, Y, agreement="dice"), "agreement=dice: is not an option; choose from overlap"),
        (lambda: svcca_cross_validated(X[:5], Y[:5], seed=0), "expected at least 6 pairs, got 5"),
    ],
)
def test_bad_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_metric_names_the_closest_and_lists_all():
    with pytest.raises(ValueError, match=r"unknown metric 'svca': did you mean svcca .*known are svcca, svcca_pc1"):
        metric("svca")
    with pytest.raises(ValueError, match="unknown metric 'xyzzy': known are svcca"):
        metric("xyzzy")


def test_metrics_are_registered_under_their_own_name():
    assert all(name == each.name and metric(name) is each for name, each in METRICS.items())


def test_a_high_floor_is_a_warning_with_its_numbers():
    r = np.random.default_rng(0)
    x, y = r.standard_normal((2, 30, 10))
    k_a, k_b = (n_principal_components(side, 0.99) for side in (x, y))
    (warning,) = metric("svcca").warnings(x, y)
    assert warning.startswith(f"a high floor: 30 pairs for {k_a} + {k_b} components")
    assert "6 of 10 canonical correlations are 1 whatever" in metric("cca").warnings(x[:15], y[:15])[0]
    assert metric("svcca").warnings(*planted_pair()) == []


def test_fewer_neighbours_are_a_warning():
    assert metric("mutual_knn").warnings(X[:9], Y[:9]) == ["4 neighbours in place of 10: there are only 9 pairs"]
    assert metric("mutual_knn").warnings(*planted_pair()) == []


def test_components_are_orthonormal_mean_free_and_restore_the_matrix():
    x, _ = awkward_pair(1)
    components = principal_components(x)
    k = len(components.singular_values)
    assert k == np.linalg.matrix_rank(x - x.mean(0)) == n_principal_components(x)
    np.testing.assert_allclose(components.scores.T @ components.scores, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(components.scores.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(
        components.scores * components.singular_values @ components.directions, x - x.mean(0), atol=1e-9
    )


def test_ranks_average_ties():
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, -1.0])
    ranks = np.array([5, 2, 5, 3, 5, 1])
    np.testing.assert_array_equal(centred_ranks(values), 2 * ranks - 7)


def test_neighbours_that_tie_share_the_places_left():
    corners = np.array([[0.0], [1.0], [-1.0], [1.0], [9.0]])
    np.testing.assert_allclose(neighbour_shares(corners, 2)[0], [0, 2 / 3, 2 / 3, 2 / 3, 0])
    np.testing.assert_allclose(neighbour_shares(corners, 2)[1], [1, 0, 0, 1, 0])


def test_more_distances_than_fit_in_memory_are_refused_before_they_are_sorted(monkeypatch):
    monkeypatch.setattr("analogue.errors.usable_memory", lambda: 10**6)
    x, y = (np.random.default_rng(seed).normal(size=(200, 5)) for seed in (0, 1))
    with pytest.raises(InvalidArgument, match=r"^outer=kendall: needs .* choose fewer than 200 pairs, or spearman$"):
        rsa(x, y, outer="kendall")
    assert -1 <= rsa(x[:100], y[:100], outer="kendall") <= 1
    assert -1 <= rsa(x, y) <= 1
