from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from analogue.significance import mantel_moments, rsa_moments, shuffle_null
from analogue.similarity import rsa
from tests.similarity.planted import random_pair


def exhaustive(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r of two condensed matrices for all permutations of the rows of b."""
    square = squareform(b)
    shuffled = [squareform(square[np.ix_(order, order)]) for order in permutations(range(len(square)))]
    return np.array([np.corrcoef(a, each)[0, 1] for each in shuffled])


@pytest.mark.parametrize("n", [3, 4, 5, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_moments_are_those_of_all_permutations(n, seed):
    r = np.random.default_rng(seed)
    a, b = (rankdata(np.round(pdist(r.standard_normal((n, 2))), 1)) for _ in range(2))
    null = exhaustive(a, b)
    moments = mantel_moments(a, b)
    assert moments.mean == pytest.approx(null.mean(), abs=1e-12)
    assert moments.variance == pytest.approx(null.var(), abs=1e-12)


def test_moments_of_rsa_over_all_permutations():
    x, y = (side[:6] for side in random_pair(4))
    null = [rsa(x, y[list(order)]) for order in permutations(range(6))]
    assert rsa_moments(x, y) == pytest.approx((np.mean(null), np.var(null)), abs=1e-12)


@pytest.mark.parametrize(("inner", "name"), [("euclidean", "rsa"), ("correlation", "rsa_correlation")])
def test_moments_agree_with_shuffles(inner, name):
    x, y = random_pair(2, minimum=30)
    null = shuffle_null(x, y, [name], 2000, seed=0)[name]
    mean, variance = rsa_moments(x, y, inner)
    assert null.mean() == pytest.approx(mean, abs=4 * (variance / 2000) ** 0.5)
    assert null.var() == pytest.approx(variance, rel=0.2)


def test_no_variance_gives_nan():
    x, _ = random_pair(1)
    assert np.isnan(rsa_moments(x, np.ones((len(x), 2)))).all()
    assert np.isnan(mantel_moments(np.ones(6), np.arange(6.0)).variance)


@pytest.mark.parametrize(("n_a", "n_b"), [(6, 10), (5, 5), (1, 1)])
def test_bad_input(n_a, n_b):
    with pytest.raises(ValueError, match=f"expected two upper triangles .* got {n_a} and {n_b}"):
        mantel_moments(np.arange(float(n_a)), np.arange(float(n_b)))
