"""Prepared draws against the naive loop, and the compiled sum."""

import numpy as np
import pytest
from scipy.spatial.distance import squareform

from analogue.similarity import METRICS, Metric, rsa
from analogue.similarity.backend import permuted_dot
from analogue.similarity.rsa import prepare_rsa
from tests.similarity.oracles import ORACLES
from tests.similarity.planted import awkward_pair, random_pair

N_DRAWS = 4


def assert_equal_to_naive(metric, x, y, seed=0):
    scorer = metric.prepare(x, y)
    r = np.random.default_rng(seed)
    for _ in range(N_DRAWS):
        permutation = r.permutation(len(x))
        assert scorer(permutation) == pytest.approx(metric(x, y[permutation]), abs=1e-6), metric.name
    assert scorer(np.arange(len(x))) == pytest.approx(metric(x, y), abs=1e-12), metric.name


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"pwcca", "pwcca_canonical"}))
def test_draws_equal_the_naive_loop(name, seed):
    assert_equal_to_naive(METRICS[name], *random_pair(seed))


@pytest.mark.parametrize("seed", [1, 2, 3, 5])
@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"pwcca", "pwcca_canonical"}))
def test_draws_equal_the_naive_loop_on_ties_and_duplicates(name, seed):
    assert_equal_to_naive(METRICS[name], *awkward_pair(seed))


@pytest.mark.parametrize("name", ["pwcca", "pwcca_canonical"])
@pytest.mark.parametrize("widths", [(4, 7), (7, 4), (5, 5)])
def test_pwcca_draws_equal_the_naive_loop(name, widths):
    x, y = random_pair(3, minimum=30)
    assert_equal_to_naive(METRICS[name], x[:, : widths[0]], y[:, : widths[1]])


@pytest.mark.parametrize("outer", ["pearson", "kendall"])
def test_rsa_draws_equal_the_naive_loop(outer):
    metric = Metric("rsa", lambda x, y: prepare_rsa(x, y, outer=outer))
    assert_equal_to_naive(metric, *awkward_pair(1))
    x, y = random_pair(2)
    assert metric(x, y) == rsa(x, y, outer=outer)


@pytest.mark.parametrize("name", ["svcca", "cca", "cca_squared", "procrustes"])
def test_large_draws_equal_the_naive_loop(name):
    """Shuffled products of more than 64 components are taken in single precision; the paired score is not."""
    r = np.random.default_rng(0)
    z = r.standard_normal((420, 90))
    x, y = z + 0.1 * r.standard_normal((420, 90)) + 3.0, 50.0 * z[:, :80] + r.standard_normal((420, 80))
    scorer, permutation = METRICS[name].prepare(x, y), r.permutation(420)
    oracle = ORACLES[name]
    assert scorer(permutation) == pytest.approx(oracle(x, y[permutation]), abs=1e-7)
    assert scorer(np.arange(420)) == METRICS[name](x, y) == pytest.approx(oracle(x, y), abs=1e-12)


def test_large_draws_that_must_tie_do_tie():
    scorer = METRICS["cca"].prepare(*np.random.default_rng(0).standard_normal((2, 80, 100)))
    assert [scorer(np.random.default_rng(i).permutation(80)) for i in range(5)] == pytest.approx([1.0] * 5, abs=1e-12)


def test_a_function_becomes_a_metric():
    metric = Metric.from_function("first_entries", lambda x, y: x[0, 0] * y[0, 0], minimum_pairs=4)
    x, y = random_pair(1)
    assert metric(x, y) == x[0, 0] * y[0, 0]
    assert_equal_to_naive(metric, x, y)
    with pytest.raises(ValueError, match="expected at least 4 pairs, got 3"):
        metric(x[:3], y[:3])


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_the_number_of_threads_does_not_change_a_bit(dtype):
    r = np.random.default_rng(0)
    n = 301
    a, b = ((r.standard_normal(n * (n - 1) // 2) * 1e6).astype(dtype) for _ in range(2))
    permutation = r.permutation(n)
    square = squareform(b)
    expected = a.astype(float) @ squareform(square[np.ix_(permutation, permutation)]).astype(float)
    sums = {permuted_dot(a, square, n_threads)(permutation) for n_threads in (1, 2, 3, 7) for _ in range(3)}
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(expected, rel=1e-12)
