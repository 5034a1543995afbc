"""Compiled selection of the highest entries of every column. Imported on first use: numba takes a while to load."""

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numba import njit


@njit(cache=True, nogil=True)
def highest_entries(
    indptr: Int64[np.ndarray, " d_sae+1"],
    tokens: Int32[np.ndarray, " nnz"],
    values: Float32[np.ndarray, " nnz"],
    k: int,
) -> Int64[np.ndarray, "d_sae k"]:
    """Tokens of the k highest values of every column, highest first; -1 where the column has fewer.

    Tokens ascend within a column, so keeping the earlier of two equal values sends ties to the lowest token.
    """
    d_sae = len(indptr) - 1
    positions = np.full((d_sae, k), -1, dtype=np.int64)
    highest = np.empty(k, dtype=np.float32)
    for feature in range(d_sae):
        n_kept = 0
        for entry in range(indptr[feature], indptr[feature + 1]):
            value = values[entry]
            if n_kept == k and value <= highest[k - 1]:
                continue
            slot = min(n_kept, k - 1)
            while slot > 0 and value > highest[slot - 1]:
                highest[slot] = highest[slot - 1]
                positions[feature, slot] = positions[feature, slot - 1]
                slot -= 1
            highest[slot] = value
            positions[feature, slot] = tokens[entry]
            n_kept = min(n_kept + 1, k)
    return positions
