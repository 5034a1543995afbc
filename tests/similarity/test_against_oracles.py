"""Every metric against its formula written out, another library, and the reference values."""

from functools import partial

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from analogue.similarity import METRICS, cca, cka_rbf, mutual_knn, pwcca, rsa, svcca, svcca_pc1
from tests.similarity import oracles
from tests.similarity.oracles import ORACLES
from tests.similarity.planted import SEEDS, awkward_pair, planted_pair, random_pair

# Rows that tie have no unique neighbours; 1 - cosine by two routes breaks ties of distances by rounding.
WITHOUT_TIES = {"mutual_knn", "mutual_knn_jaccard", "rsa_correlation", "rsa_cosine"}


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (svcca, 0.618437),
        (svcca_pc1, 0.036123),
        (rsa, 0.668136),
        (partial(rsa, inner="correlation"), 0.680298),
        (pwcca, 0.808727),
    ],
)
def test_reference_values(score, expected):
    assert score(*planted_pair()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_metrics_match_their_formula(seed):
    x, y = random_pair(seed)
    for name, oracle in ORACLES.items():
        assert METRICS[name](x, y) == pytest.approx(oracle(x, y), abs=1e-6), name


@pytest.mark.parametrize("seed", range(1, 7))
def test_metrics_match_their_formula_on_ties_duplicates_and_constants(seed):
    x, y = awkward_pair(seed)
    for name in ORACLES.keys() - WITHOUT_TIES:
        assert METRICS[name](x, y) == pytest.approx(ORACLES[name](x, y), abs=1e-6), name


@pytest.mark.parametrize("seed", SEEDS)
def test_pwcca_matches_both_formulas(seed):
    r = np.random.default_rng(seed)
    d_a, d_b = (int(d) for d in r.integers(2, 14, 2))
    n = int(r.integers(d_a + d_b + 3, 60))
    z = r.standard_normal((n, 2))
    x = z @ r.standard_normal((2, d_a)) + r.standard_normal((n, d_a)) + 2.0
    y = 0.1 * (z @ r.standard_normal((2, d_b)) + r.standard_normal((n, d_b)))
    assert pwcca(x, y, weights="canonical") == pytest.approx(oracles.pwcca_canonical(x, y), abs=1e-6)
    assert pwcca(x, y) == pytest.approx(oracles.pwcca_published(x, y), abs=1e-6)


@pytest.mark.parametrize("weights", ["published", "canonical"])
@pytest.mark.parametrize("widths", [(30, 4), (4, 30), (30, 40)])
def test_pwcca_is_one_where_a_side_spans_all_that_the_pairs_can(weights, widths):
    r = np.random.default_rng(0)
    x, y = (r.standard_normal((12, width)) for width in widths)
    assert pwcca(x, y, weights=weights) == pytest.approx(ORACLES["cca"](x, y), abs=1e-9) == pytest.approx(1.0)


@pytest.mark.parametrize("outer", ["pearson", "kendall"])
@pytest.mark.parametrize("inner", ["euclidean", "correlation", "cosine"])
@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_rsa_with_other_outer_correlations(seed, inner, outer):
    x, y = random_pair(seed)
    assert rsa(x, y, inner, outer) == pytest.approx(oracles.rsa(x, y, inner, outer), abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 4, 5])
def test_svcca_and_cca_match_scikit_learn(seed):
    x, y = (side[:, :4] for side in random_pair(seed, minimum=40))
    for score, sides in ((svcca, [PCA(0.99).fit_transform(side) for side in (x, y)]), (cca, [x, y])):
        k = min(side.shape[1] for side in sides)
        variates = CCA(k, max_iter=10_000, tol=1e-14).fit_transform(*sides)
        correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(*(side.T for side in variates), strict=True)]
        assert score(x, y) == pytest.approx(np.mean(correlations), abs=1e-6)


@pytest.mark.parametrize("variance", [0.3, 0.9, 1.0])
def test_svcca_keeps_the_variance_asked_for(variance):
    x, y = planted_pair()
    assert svcca(x, y, variance) == pytest.approx(oracles.svcca(x, y, variance), abs=1e-6)


def test_svcca_keeps_the_components_asked_for():
    x, y = planted_pair()
    scores = [oracles.kept_scores(side, 1.0)[:, :5] for side in (x, y)]
    assert svcca(x, y, n_components=5) == pytest.approx(np.mean(oracles.canonical_correlations(*scores)), abs=1e-6)
    assert svcca(x, y, n_components=1) == pytest.approx(svcca_pc1(x, y), abs=1e-12)
    assert svcca(x, y, n_components=1000) == pytest.approx(cca(x, y), abs=1e-12)


def test_options_reach_the_formula():
    x, y = random_pair(7)
    assert cka_rbf(x, y, bandwidth=0.4) == pytest.approx(oracles.cka_rbf(x, y, 0.4), abs=1e-6)
    assert mutual_knn(x, y, k=2) == pytest.approx(oracles.mutual_knn(x, y, 2), abs=1e-6)


def test_large_products_go_through_their_gram_matrix_without_losing_digits():
    """More than 64 components a side, and a product of low rank, for which the square root would amplify rounding."""
    r = np.random.default_rng(0)
    x = r.standard_normal((400, 90))
    for y in (x[:, :80] + r.standard_normal((400, 80)), x @ r.standard_normal((90, 2)) @ r.standard_normal((2, 100))):
        for name in ("svcca", "cca", "procrustes"):
            assert METRICS[name](x, y) == pytest.approx(ORACLES[name](x, y), abs=1e-9), name
