"""Spaces among each other: how far apart they are, a tree of them, and a map in two dimensions."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class Merge(NamedTuple):
    """A step of the tree: two groups become one. Group i < n is space i, group n + j what step j made."""

    one: int
    other: int
    distance: float


def tree(distance: Float64[np.ndarray, "n n"]) -> list[Merge]:
    """Average linkage: at each step the two groups whose spaces are nearest on average become one."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    steps = linkage(squareform(distance, checks=False), "average")
    return [Merge(int(one), int(other), float(height)) for one, other, height, _ in steps]


def map_of(distance: Float64[np.ndarray, "n n"]) -> tuple[Float64[np.ndarray, "n 2"], float]:
    """Classical multidimensional scaling to the plane, and the share of the squared distances that it shows.

    Source:
        Torgerson 1952, "Multidimensional scaling: I. Theory and method", Psychometrika 17:401.
    """
    n = len(distance)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ distance**2 @ centring)
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors *= np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(n)] < 0, -1, 1)  # not left to the solver
    places = np.zeros((n, 2))
    places[:, : min(2, n)] = vectors[:, :2] * np.sqrt(np.maximum(values[:2], 0.0))
    total = np.abs(values).sum()
    return places, float(np.maximum(values[:2], 0.0).sum() / total) if total > 0 else 1.0
