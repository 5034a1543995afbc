"""Matrices of many rows as small ones, for metrics that depend on inner products of centred columns alone."""

import numpy as np
from jaxtyping import Float64


def rows_of_moments(
    xx: Float64[np.ndarray, "d_a d_a"], yy: Float64[np.ndarray, "d_b d_b"], xy: Float64[np.ndarray, "d_a d_b"]
) -> tuple[Float64[np.ndarray, "n d_a"], Float64[np.ndarray, "n d_b"]]:
    """Two matrices of d_a + d_b + 1 rows that have these inner products of columns, and columns of mean 0.

    A metric with `Metric.from_moments` scores them as it scores the matrices that the products come from, whatever
    their number of rows.

    Args:
        xx: (d_a, d_a) inner products of the centred columns of x.
        yy: (d_b, d_b) those of y.
        xy: (d_a, d_b) those of the columns of x with the columns of y.
    """
    products = np.block([[xx, xy], [xy.T, yy]])
    values, vectors = np.linalg.eigh(products)
    rows = np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T
    # Orthonormal columns, each of which sums to 0 (Helmert's): they keep inner products, and give every column mean 0.
    d = len(products)
    place = np.arange(1, d + 1)
    helmert = np.triu(np.ones((d + 1, d)))
    helmert[place, place - 1] = -place
    centred = (helmert / np.sqrt(place * (place + 1))) @ rows
    return centred[:, : len(xx)], centred[:, len(xx) :]
