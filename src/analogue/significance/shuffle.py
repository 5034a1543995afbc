"""The shuffled-pairing null: the same features on both sides, paired at random."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from analogue.significance.threads import map_over_threads
from analogue.similarity import Metric, Permutation, Scorer, metric

Progress = Callable[[int], None]

# With fewer pairs, Python's own share of a draw is too large for threads.
_WORTH_THREADS = 1024


def draw_shuffles(
    scorers: Mapping[str, Scorer],
    n_pairs: int,
    n: int,
    seed: int,
    progress: Progress | None = None,
    threads: bool = True,
) -> dict[str, Float64[np.ndarray, " n"]]:
    """Scores of `n` random pairings, the same pairings for every metric.

    Args:
        scorers: by metric name, the score as a function of the permutation.
        n_pairs: number of pairs to shuffle.
        n: number of draws, at least 1.
        seed: draw i depends on the seed, i and n_pairs alone, not on which metrics are asked for.
        progress: called with the number of draws done.
        threads: whether large draws may run side by side; on a device they would only wait for each other there.

    Returns:
        By metric name, (n,) scores.

    Raises:
        ValueError: n below 1.

    Source:
        Lan et al. 2024, arXiv 2410.06981, Test 1 and the main results.
    """
    if n < 1:
        raise ValueError(f"expected at least 1 draw, got {n}")
    generator = np.random.default_rng(seed)
    permutations = (generator.permutation(n_pairs) for _ in range(n))

    def score_all(permutation: Permutation) -> list[float]:
        return [scorer(permutation) for scorer in scorers.values()]

    scores = np.empty((len(scorers), n))
    worth_threads = threads and n_pairs >= _WORTH_THREADS
    for draw, scored in enumerate(map_over_threads(score_all, permutations, worth_threads)):
        scores[:, draw] = scored
        if progress is not None:
            progress(draw + 1)
    return dict(zip(scorers, scores, strict=True))


def as_metrics(metrics: Sequence[str | Metric], seed: int) -> list[Metric]:
    """Metrics of names, where they draw with this seed, and metrics as they are.

    Raises:
        ValueError: an unknown name, or two metrics of one name.
    """
    resolved = [metric(each).with_seed(seed) if isinstance(each, str) else each for each in metrics]
    names = [each.name for each in resolved]
    if len(set(names)) < len(names):
        raise ValueError(f"expected every metric once, got {', '.join(names)}")
    return resolved
