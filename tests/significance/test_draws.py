from itertools import count, islice

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from analogue.significance import draw_shuffles
from analogue.significance.draws import blas_threads_for, map_over_threads
from analogue.similarity import METRICS


def n_blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("worth_threads", [True, False])
def test_results_come_in_order_and_items_are_taken_as_needed(worth_threads: bool) -> None:
    squares = map_over_threads(lambda i: i * i, count(), worth_threads)
    assert list(islice(squares, 200)) == [i * i for i in range(200)]
    assert list(map_over_threads(lambda i: i, [], worth_threads)) == []


def test_a_failure_reaches_the_caller_and_blas_has_its_threads_back() -> None:
    before = n_blas_threads()
    with pytest.raises(ZeroDivisionError):
        list(map_over_threads(lambda i: 1 // i, [1, 0, 1], worth_threads=True))
    assert n_blas_threads() == before


def test_blas_has_one_thread_for_small_matrices_only() -> None:
    before = n_blas_threads()
    with blas_threads_for(100):
        assert n_blas_threads() == {1}
    with blas_threads_for(10**6):
        assert n_blas_threads() == before


def test_draws_do_not_depend_on_threads() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 1100, 6))
    scorers = {name: METRICS[name].prepare(x, y) for name in ("svcca", "rsa")}
    serial, threaded = (draw_shuffles(scorers, len(x), 150, seed=1, threads=threads) for threads in (False, True))
    for name in scorers:
        np.testing.assert_array_equal(threaded[name], serial[name])
