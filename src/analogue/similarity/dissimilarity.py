"""Representational dissimilarity matrices (RDMs)."""

import math
from typing import Literal

from jaxtyping import Float64

from analogue.similarity.inputs import Array, centred, namespace
from analogue.similarity.kernels import kernels

Inner = Literal["euclidean", "correlation", "cosine"]
INNER = ("euclidean", "correlation", "cosine")
# Distances that differ by less than this, relative to their scale, differ by rounding alone.
_ROUNDING = 1e-12


def dissimilarities(matrix: Float64[Array, "n d"], inner: Inner = "euclidean") -> Float64[Array, " n_distances"]:
    """Distance of every two rows, condensed (`pdist` order: the upper triangle row by row).

    Returns:
        (n (n - 1) / 2,) distances: `euclidean`, `correlation` (1 - Pearson's r of two rows) or `cosine` (1 - cosine).
        NaN where undefined: rows that do not vary for `correlation`, zero rows for `cosine`.

    Raises:
        ValueError: unknown `inner`.
    """
    if inner not in INNER:
        raise ValueError(f"expected inner in {INNER}, got {inner!r}")
    if inner == "euclidean":
        return kernels(matrix).distances(matrix)
    xp = namespace(matrix)
    rows = centred(matrix.T).T if inner == "correlation" else matrix
    norms = xp.linalg.norm(rows, axis=1, keepdims=True)
    # A row without a direction has no angle with any other.
    return kernels(matrix).angles(rows / xp.where(norms > 0, norms, math.nan))


def vary(distances: Float64[Array, " n_distances"], inner: Inner = "euclidean") -> bool:
    """Whether distances are all defined and differ by more than rounding."""
    scale = distances.max() if inner == "euclidean" else 1.0
    return bool(distances.max() - distances.min() > _ROUNDING * scale)
