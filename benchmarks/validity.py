"""Are the pairings, scores and p-values right? Measured where the truth is known: `python -m benchmarks.validity`.

Three studies on synthetic feature spaces (see `validity_spaces`): the whole way from activations to p-values as the
fraction of shared features rises; power against the number of pairs; and p-values where nothing is shared. Prints the
tables, and writes them with the figure to docs/ unless `--quick` is given.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import kstest

from analogue import Filters, Null
from analogue.comparison import filter_pairs, score_pairs
from analogue.matching import FeaturePairs, best_partners, max_correlation
from analogue.significance import SimilarityResult, score_against_null
from analogue.similarity import METRICS
from benchmarks.validity_spaces import Spaces, make_decoders, make_spaces

ALPHA = 0.05
FILTERS = Filters(concept_tokens=False, shared_token=False)  # these texts have no words
PAIRED_SHARE = 0.5  # of the pairs in the study of power: the share that is truly shared


class Size(NamedTuple):
    """How much to measure."""

    shares: tuple[float, ...]
    noises: tuple[float, ...]
    n_seeds: int
    n_pairs: tuple[int, ...]
    n_replicates: int
    n_null: int


FULL = Size(tuple(i / 10 for i in range(11)), (0.3, 0.6, 0.8), 20, (10, 20, 40, 80, 160, 320), 500, 199)
QUICK = Size((0.0, 0.5, 1.0), (0.6,), 3, (20, 80), 40, 39)


class Found(NamedTuple):
    """One pair of spaces, from activations to p-values."""

    shared: float
    noise: float
    precision: float
    """Share of the pairs that are true; NaN without pairs."""
    recall: float
    """Share of the truly shared features that are paired with their partner; NaN where none is shared."""
    n_pairs: int
    results: dict[str, SimilarityResult]


def pair(spaces: Spaces) -> FeaturePairs:
    """The default of the project: highest correlation, one-to-one, at least 0.1."""
    pairs = max_correlation(spaces.a.acts, spaces.b.acts, find=partial(best_partners, n_threads=1))
    return filter_pairs(pairs, spaces.a, spaces.b, FILTERS, []).pairs.kept_pairs()


def find(shared: float, noise: float, seed: int, n_null: int) -> Found:
    """Make two spaces, pair them, score the pairs and test the scores."""
    spaces = make_spaces(shared, noise, seed)
    pairs = pair(spaces)
    n_true = int((spaces.partner[pairs.feature_a] == pairs.feature_b).sum())
    n_shared = int((spaces.partner >= 0).sum())
    precision = n_true / len(pairs) if len(pairs) else np.nan
    recall = n_true / n_shared if n_shared else np.nan
    scores = score_pairs(pairs, spaces.a, spaces.b, [*METRICS.values()], Null(n=n_null), seed)
    return Found(shared, noise, precision, recall, len(pairs), by_metric(scores.similarity))


def find_pairs(n_pairs: int, shared: float, noise: float, seed: int, n_null: int) -> Found:
    """Score and test so many pairs, of which a share is right."""
    r = np.random.default_rng([seed, n_pairs, round(1000 * shared), round(1000 * noise)])
    x, y = make_decoders(np.arange(round(shared * n_pairs)), n_pairs, noise, r)
    results = score_against_null(x, y, [*METRICS.values()], n_null, seed)
    return Found(shared, noise, shared, np.nan, n_pairs, by_metric(results))


def by_metric(results: Iterable[SimilarityResult]) -> dict[str, SimilarityResult]:
    """Results by the name of their metric."""
    return {result.metric: result for result in results}


def rising_share(size: Size, map_: Callable[..., Iterable[Found]]) -> list[Found]:
    """Study 1: the whole way, by share and noise."""
    cells = [(u, noise, seed) for u in size.shares for noise in size.noises for seed in range(size.n_seeds)]
    return list(map_(find, *zip(*cells, strict=True), [size.n_null] * len(cells)))


def rising_number(size: Size, map_: Callable[..., Iterable[Found]]) -> list[Found]:
    """Study 2: power by number of pairs, half of them right, at the middle noise."""
    noise = size.noises[len(size.noises) // 2]
    cells = [(n, PAIRED_SHARE, noise, seed) for n in size.n_pairs for seed in range(2 * size.n_seeds)]
    return list(map_(find_pairs, *zip(*cells, strict=True), [size.n_null] * len(cells)))


def nothing_shared(size: Size, map_: Callable[..., Iterable[Found]]) -> list[Found]:
    """Study 3: spaces that share nothing, for the distribution of p-values."""
    n = size.n_replicates
    return list(map_(find, [0.0] * n, [size.noises[0]] * n, range(1000, 1000 + n), [size.n_null] * n))


def p_values(found: Iterable[Found], metric: str) -> np.ndarray:
    """p-values of a metric; NaN where it has no score."""
    values = [each.results[metric].p_value for each in found]
    return np.array([np.nan if value is None else value for value in values])


def scores(found: Iterable[Found], metric: str) -> np.ndarray:
    """Scores of a metric; NaN where it has none."""
    values = [each.results[metric].score for each in found]
    return np.array([np.nan if value is None else value for value in values])


def power(found: Iterable[Found], metric: str) -> float:
    """Share of p-values below 0.05; a pair of spaces without a score counts as not found."""
    return float((p_values(found, metric) < ALPHA).mean())


def uniformity(found: Iterable[Found], metric: str, n_null: int) -> tuple[float, float]:
    """Kolmogorov-Smirnov statistic and p-value of p-values against the uniform distribution.

    The p-values of n_null draws are steps of 1 / (n_null + 1); each is taken in the middle of its step.
    """
    test = kstest(p_values(found, metric) - 0.5 / (n_null + 1), "uniform")
    return float(test.statistic), float(test.pvalue)


def main() -> None:
    """Run the studies, print the tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer of everything, and nothing is written")
    size = QUICK if parser.parse_args().quick else FULL
    from benchmarks.validity_report import Studies, tables, write_page

    start = time.perf_counter()
    with ProcessPoolExecutor(initializer=_one_blas_thread) as pool:

        def map_(*arguments: Any) -> Iterable[Found]:
            return pool.map(*arguments, chunksize=4)

        studies = Studies(size, rising_share(size, map_), rising_number(size, map_), nothing_shared(size, map_))
    print(tables(studies))
    print(f"{time.perf_counter() - start:.0f} s")
    if size is FULL:
        write_page(studies)


def _one_blas_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


if __name__ == "__main__":
    main()
