import numpy as np
import pytest

from analogue.significance import score_against_null
from analogue.similarity import METRICS, Metric, rsa, svcca, svcca_cross_validated
from tests.significance.draws import shuffled
from tests.similarity.planted import random_pair

X, Y = random_pair(2, minimum=20)


def test_draws_equal_the_naive_loop():
    null = shuffled(X, Y, ["svcca", "rsa"], 5, seed=3)
    generator = np.random.default_rng(3)
    for draw in range(5):
        partners = Y[generator.permutation(len(Y))]
        assert null["svcca"][draw] == pytest.approx(svcca(X, partners), abs=1e-6)
        assert null["rsa"][draw] == pytest.approx(rsa(X, partners), abs=1e-6)


def test_draws_do_not_depend_on_the_other_metrics():
    every = shuffled(X, Y, list(METRICS), 4, seed=0)
    for name in METRICS:
        np.testing.assert_array_equal(shuffled(X, Y, [name], 4, seed=0)[name], every[name])


def test_first_draws_do_not_depend_on_how_many_there_are():
    few, many = (shuffled(X, Y, ["rsa"], n, seed=0)["rsa"] for n in (3, 6))
    np.testing.assert_array_equal(few, many[:3])
    assert (shuffled(X, Y, ["rsa"], 3, seed=1)["rsa"] != few).all()


def test_a_metric_of_the_users_own():
    mine = Metric.from_function("mine", lambda x, y: float(x[:, 0] @ y[:, 0]))
    null = shuffled(X, Y, [mine, "rsa"], 2, seed=0)
    permutation = np.random.default_rng(0).permutation(len(Y))
    assert null["mine"][0] == pytest.approx(X[:, 0] @ Y[permutation, 0])


def test_progress_is_reported():
    n_done: list[int] = []
    score_against_null(X, Y, ["svcca_pc1"], 3, seed=0, progress=n_done.append)
    assert n_done == [1, 2, 3]


def test_bad_input():
    with pytest.raises(ValueError, match="unknown metric 'svcaa'"):
        shuffled(X, Y, ["svcaa"], 3, seed=0)
    with pytest.raises(ValueError, match="expected at least 1 draw, got 0"):
        shuffled(X, Y, ["rsa"], 0, seed=0)
    with pytest.raises(ValueError, match="expected every metric once, got rsa, rsa"):
        shuffled(X, Y, ["rsa", "rsa"], 3, seed=0)


def test_the_seed_reaches_metrics_that_draw():
    first, again, other = (
        score_against_null(X, Y, ["svcca_cross_validated"], 2, seed=seed)[0].score for seed in (5, 5, 6)
    )
    assert first == again == svcca_cross_validated(X, Y, seed=5)
    assert other == svcca_cross_validated(X, Y, seed=6) != first
    as_it_is = METRICS["svcca_cross_validated"].with_seed(7)
    (result,) = score_against_null(X, Y, [as_it_is], 2, seed=5)
    assert result.score == svcca_cross_validated(X, Y, seed=7)
