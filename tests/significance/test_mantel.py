from functools import partial
from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from analogue.significance import mantel_moments, score_against_null
from analogue.similarity import METRICS, Metric
from analogue.similarity.rsa import prepare_rsa
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


@pytest.mark.parametrize("outer", ["spearman", "pearson"])
def test_z_of_rsa_is_that_of_all_permutations(outer):
    x, y = (side[:6] for side in random_pair(4))
    metric = Metric("mine", partial(prepare_rsa, outer=outer))
    null = [metric(x, y[list(order)]) for order in permutations(range(6))]
    (result,) = score_against_null(x, y, [metric], 2, seed=0)
    assert result.z_exact == pytest.approx((result.score - np.mean(null)) / np.std(null), abs=1e-9)
    assert result.to_dict()["z_exact"] == result.z_exact


@pytest.mark.parametrize("name", ["rsa", "rsa_correlation", "rsa_cosine"])
def test_exact_z_is_that_of_many_shuffles(name):
    x, y = random_pair(2, minimum=30)
    (result,) = score_against_null(x, y, [name], 2000, seed=0)
    assert result.z_exact == pytest.approx(result.z, rel=0.1, abs=0.1)


def test_no_other_metric_has_an_exact_z():
    x, y = random_pair(2, minimum=20)
    kendall = Metric("kendall", partial(prepare_rsa, outer="kendall"))
    for result in score_against_null(
        x, y, [*(METRICS.keys() - {"rsa", "rsa_correlation", "rsa_cosine"}), kendall], 2, 0
    ):
        assert result.z_exact is None


def test_no_variance_gives_none():
    x, _ = random_pair(1)
    (result,) = score_against_null(x, np.ones((len(x), 2)), ["rsa"], 3, seed=0)
    assert result.score is result.z_exact is None
    assert np.isnan(mantel_moments(np.ones(6), np.arange(6.0)).variance)
    # Two rows apart from a third: every permutation scores 1 or -0.5, two rows in one place leave three distances.
    (result,) = score_against_null(np.eye(3), np.eye(3) + 1, ["rsa"], 3, seed=0)
    assert result.z_exact is None


@pytest.mark.parametrize(("n_a", "n_b"), [(6, 10), (5, 5), (1, 1)])
def test_bad_input(n_a, n_b):
    with pytest.raises(ValueError, match=f"expected two upper triangles .* got {n_a} and {n_b}"):
        mantel_moments(np.arange(float(n_a)), np.arange(float(n_b)))
