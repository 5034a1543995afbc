"""Inner product of two symmetric matrices, one of them permuted, over threads."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from jaxtyping import Shaped

from analogue.cores import usable_cores
from analogue.similarity.inputs import Permutation

# Below, a draw takes less than starting a thread on it is worth.
_WORTH_THREADS = 1024


class PermutedDot:
    """Sum over i < j of a[i, j] * b[permutation[i], permutation[j]] as a function of the permutation.

    Each row is summed by one thread, and the rows' sums in one order: the number of threads does not change a bit.

    Args:
        a: upper triangle, condensed (`pdist` order); float64, or integers that products in float64 can hold.
        b: square, symmetric.
        n_threads: defaults to the cores this process may use.
    """

    def __init__(
        self, a: Shaped[np.ndarray, " n_entries"], b: Shaped[np.ndarray, "n n"], n_threads: int | None = None
    ) -> None:
        from analogue.similarity.triangle import permuted_row_dots

        self._a, self._b, self._kernel = a, b, permuted_row_dots
        n = len(b)
        n_threads = n_threads or (usable_cores() if n >= _WORTH_THREADS else 1)
        # Rows get shorter downwards: these cuts give every thread the same area of the triangle.
        cuts = [round(n * (1 - (1 - share / n_threads) ** 0.5)) for share in range(n_threads + 1)]
        self._shares = list(pairwise(cuts))
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def __call__(self, permutation: Permutation) -> float:
        permutation = np.asarray(permutation).astype(np.uint32)  # unsigned: no check for negative indices
        dots = np.zeros(len(self._b))
        if self._pool is None:
            self._kernel(self._a, self._b, permutation, 0, len(self._b), dots)
            return float(dots.sum())
        jobs = [self._pool.submit(self._kernel, self._a, self._b, permutation, *share, dots) for share in self._shares]
        for job in jobs:
            job.result()
        return float(dots.sum())
