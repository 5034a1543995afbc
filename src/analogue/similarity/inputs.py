"""What every similarity metric asks of its two matrices."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64

MINIMUM_PAIRS = 3


def as_pairs(
    x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], minimum: int = MINIMUM_PAIRS
) -> tuple[Float64[np.ndarray, "n_pairs d_a"], Float64[np.ndarray, "n_pairs d_b"]]:
    """Two NumPy arrays or torch tensors (of any device) as float64 arrays whose rows belong together.

    Raises:
        ValueError: not two-dimensional, unequal numbers of rows, fewer rows than `minimum`, or entries that are not
            finite.
    """
    x, y = _as_array(x), _as_array(y)
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(f"expected two matrices (n_pairs, d_model), got shapes {x.shape} and {y.shape}")
    if len(x) != len(y):
        raise ValueError(f"expected as many rows in x as in y, got {len(x)} and {len(y)}")
    if len(x) < minimum:
        raise ValueError(f"expected at least {minimum} pairs, got {len(x)}")
    for name, matrix in (("x", x), ("y", y)):
        if not np.isfinite(matrix).all():
            raise ValueError(
                f"expected finite entries, got {int((~np.isfinite(matrix)).sum())} NaN or infinite in {name}"
            )
    return x, y


def centred(matrix: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    """Columns less their means; a column that varies by no more than the rounding of its mean becomes exactly 0."""
    deviations = matrix - matrix.mean(axis=0)
    rounding = len(matrix) * np.finfo(np.float64).eps * np.linalg.norm(matrix, axis=0)
    deviations[:, np.linalg.norm(deviations, axis=0) <= rounding] = 0.0
    return deviations


def _as_array(matrix: Any) -> np.ndarray:
    if hasattr(matrix, "detach"):
        matrix = matrix.detach().double().cpu().numpy()
    return np.asarray(matrix, dtype=np.float64)
