"""Threads where they help: across large draws, and never inside small ones."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from analogue.cores import usable_cores

# With fewer rows BLAS gains little from threads, and loses much: where another process holds a core, they wait for each
# other, and a decomposition takes 30 times as long.
_WORTH_BLAS_THREADS = 4096
_ITEMS_PER_THREAD = 32

S = TypeVar("S")
T = TypeVar("T")


def blas_threads_for(n_pairs: int) -> AbstractContextManager[Any]:
    """While this is open, BLAS uses one thread, unless the matrices are large."""
    return nullcontext() if n_pairs >= _WORTH_BLAS_THREADS else threadpool_limits(1, user_api="blas")


def map_over_threads(function: Callable[[S], T], items: Iterable[S], worth_threads: bool) -> Iterator[T]:
    """The function of each item, in order, on as many threads as there are cores if worth it; BLAS on one each.

    Items are taken a few at a time, so that an iterator of large ones never stands in memory whole.
    """
    remaining, n_threads = iter(items), usable_cores()
    with threadpool_limits(1, user_api="blas"):
        if n_threads == 1 or not worth_threads:
            yield from map(function, remaining)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            while some := list(islice(remaining, n_threads * _ITEMS_PER_THREAD)):
                yield from pool.map(function, some)
