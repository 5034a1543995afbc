"""The compiled sum of products of listed pairs of features. Imported on first use: numba takes a while to load."""

import numpy as np
from jaxtyping import Float, Float64, Int64
from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def add_products(
    acts_a: Float[np.ndarray, "n_a n_tokens"],
    acts_b: Float[np.ndarray, "n_b n_tokens"],
    labels_a: Int64[np.ndarray, " n_pairs"],
    labels_b: Int64[np.ndarray, " n_pairs"],
    mean_a: Float64[np.ndarray, " n_a"],
    mean_b: Float64[np.ndarray, " n_b"],
    total: Float64[np.ndarray, " n_pairs"],
) -> None:
    """Add each pair's products of deviations from the mean to its total, in float64.

    Any order of summation (it vectorises), but the same for every pair: equal features get equal totals.
    """
    for pair in range(len(total)):
        a, b = labels_a[pair], labels_b[pair]
        own, other, centre, other_centre = acts_a[a], acts_b[b], mean_a[a], mean_b[b]
        products = 0.0
        for token in range(len(own)):
            products += (own[token] - centre) * (other[token] - other_centre)
        total[pair] += products
