"""The compiled sum behind RSA under permutations."""

import numpy as np
from jaxtyping import Float64, Int64
from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def permuted_dot(
    a: Float64[np.ndarray, " n_distances"], b: Float64[np.ndarray, "n n"], permutation: Int64[np.ndarray, " n"]
) -> float:
    """Sum over i < j of a[i, j] * b[permutation[i], permutation[j]]; a is condensed (`pdist` order), b square."""
    n = len(permutation)
    total = 0.0
    start = 0
    for i in range(n - 1):
        row = b[permutation[i]]
        partial = 0.0
        for j in range(i + 1, n):
            partial += a[start + j - i - 1] * row[permutation[j]]
        total += partial
        start += n - 1 - i
    return total
