"""The shuffled-pairing null: the same features on both sides, paired at random."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64

from analogue.similarity import Scorer


def shuffle_null(
    scorers: Mapping[str, Scorer],
    n_pairs: int,
    n: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Scores of `n` random pairings, the same pairings for every metric.

    Args:
        scorers: by metric name, the score as a function of the permutation (`Metric.prepare`).
        n_pairs: number of pairs.
        n: number of draws.
        seed: draw i depends on the seed, i and `n_pairs` alone, not on which metrics are asked for.
        progress: called with the number of draws done.

    Returns:
        By metric name, (n,) scores.

    Source:
        Lan et al. 2024, arXiv 2410.06981, Test 1 and the main results.
    """
    generator = np.random.default_rng(seed)
    null = {name: np.empty(n) for name in scorers}
    for draw in range(n):
        permutation = generator.permutation(n_pairs)
        for name, scorer in scorers.items():
            null[name][draw] = scorer(permutation)
        if progress is not None:
            progress(draw + 1)
    return null
