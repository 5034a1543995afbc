"""Principal components: the subspaces that canonical correlations compare."""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from analogue.similarity.inputs import EPSILON, Array, as_array, centred, namespace
from analogue.similarity.kernels import kernels


class Components(NamedTuple):
    """The leading k principal components of a matrix: centred matrix ~ (scores * singular_values) @ directions."""

    scores: Float64[Array, "n k"]
    """Orthonormal, mean-free columns."""
    singular_values: Float64[Array, " k"]
    directions: Float64[Array, "k d"]


def principal_components(
    matrix: Float64[Array, "n d"], variance: float = 1.0, n_components: int | None = None
) -> Components:
    """The fewest principal components that keep `variance` of the variance, or the `n_components` leading ones.

    Components whose singular value is rounding are never kept, so k is at most the rank, and 0 where nothing varies.

    Raises:
        ValueError: `variance` outside (0, 1] or `n_components` below 1.
    """
    n_kept = partial(_n_kept, matrix=matrix, variance=variance, n_components=n_components)
    return Components(*kernels(matrix).leading_svd(centred(matrix), n_kept))


def n_principal_components(
    matrix: Float64[Array, "n d"], variance: float = 1.0, n_components: int | None = None
) -> int:
    """How many components `principal_components` keeps, without their vectors: several times faster."""
    singular_values = namespace(matrix).linalg.svdvals(centred(matrix))
    return _n_kept(singular_values, matrix, variance, n_components)


def floor_warnings(n_pairs: int, k_a: int, k_b: int) -> list[str]:
    """Warn where so few pairs are left for so many components that chance alone scores high."""
    if n_pairs >= 2 * (k_a + k_b):
        return []
    # Centred rows span n_pairs - 1 dimensions, so two larger subspaces cannot but meet.
    forced = min(k_a + k_b - (n_pairs - 1), k_a, k_b)
    floor = "unrelated spaces score high too"
    if forced > 0:
        floor = f"{forced} of {min(k_a, k_b)} canonical correlations are 1 whatever the pairing"
    return [f"a high floor: {n_pairs} pairs for {k_a} + {k_b} components, {floor}; read it against its null"]


def _n_kept(
    singular_values: Float64[Array, " r"],
    matrix: Float64[Array, "n d"],
    variance: float,
    n_components: int | None,
) -> int:
    if not 0 < variance <= 1:
        raise ValueError(f"expected variance in (0, 1], got {variance}")
    if n_components is not None and n_components < 1:
        raise ValueError(f"expected n_components of at least 1, got {n_components}")
    # The matrix itself, not the centred one: subtracting large means leaves their rounding behind.
    noise = max(matrix.shape) * EPSILON * float(namespace(matrix).linalg.norm(matrix))
    singular_values = as_array(singular_values)
    rank = int((singular_values > noise).sum())
    if n_components is not None or rank == 0:
        return min(n_components or 0, rank)
    kept = np.cumsum(singular_values[:rank] ** 2)
    return min(int(np.searchsorted(kept, variance * kept[-1] * (1 - 1e-12))) + 1, rank)
