"""The compiled sum behind RSA and CKA under permutations.

Imported on first use: numba takes a while to load.
"""

import numpy as np
from jaxtyping import Float64, Shaped, UInt32
from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def permuted_row_dots(
    a: Shaped[np.ndarray, " n_entries"],
    b: Shaped[np.ndarray, "n n"],
    permutation: UInt32[np.ndarray, " n"],
    first: int,
    last: int,
    dots: Float64[np.ndarray, " n"],
) -> None:
    """dots[i] = sum over j > i of a[i, j] * b[permutation[i], permutation[j]], for the rows from first to last.

    a is condensed (`pdist` order), b square and symmetric. A row of b is gathered from while it lies in the cache.
    """
    n = len(permutation)
    for i in range(first, last):
        start = i * n - i * (i + 1) // 2
        entries, columns = a[start : start + n - 1 - i], permutation[i + 1 :]
        row = b[permutation[i]]
        total = 0.0
        for j in range(len(columns)):
            total += np.float64(entries[j]) * np.float64(row[columns[j]])
        dots[i] = total
