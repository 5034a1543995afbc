"""What all nulls share: which metrics they score, and on which threads draws are made."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from analogue.cores import usable_cores
from analogue.similarity import Metric, metric

Progress = Callable[[int], None]

# With fewer rows BLAS gains little from threads, and may lose much: if another process holds a core, its threads wait
# for each other, and a decomposition takes 30 times as long.
_WORTH_BLAS_THREADS = 4096
_ITEMS_PER_THREAD = 32

S = TypeVar("S")
T = TypeVar("T")


def as_metrics(metrics: Sequence[str | Metric], seed: int) -> list[Metric]:
    """Metrics by name, their random choices made from this seed, and metrics as they are.

    Raises:
        ValueError: an unknown name, or two metrics of one name.
    """
    resolved = [metric(each).with_seed(seed) if isinstance(each, str) else each for each in metrics]
    names = [each.name for each in resolved]
    if len(set(names)) < len(names):
        raise ValueError(f"expected every metric once, got {', '.join(names)}")
    return resolved


def blas_threads_for(n_pairs: int) -> AbstractContextManager[Any]:
    """While this is open, BLAS uses one thread, unless the matrices are large."""
    return nullcontext() if n_pairs >= _WORTH_BLAS_THREADS else threadpool_limits(1, user_api="blas")


def map_over_threads(function: Callable[[S], T], items: Iterable[S], worth_threads: bool) -> Iterator[T]:
    """The function of each item, in order, on as many threads as there are cores if worth it; BLAS on one each.

    A few items are taken at a time, so that an iterator of large ones is never held in memory as a list.
    """
    remaining, n_threads = iter(items), usable_cores()
    with threadpool_limits(1, user_api="blas"):
        if n_threads == 1 or not worth_threads:
            yield from map(function, remaining)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            while some := list(islice(remaining, n_threads * _ITEMS_PER_THREAD)):
                yield from pool.map(function, some)
