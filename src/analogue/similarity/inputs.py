"""What every similarity metric asks of its two matrices."""

from typing import Any

import numpy as np
from jaxtyping import Float64

MINIMUM_PAIRS = 3


def as_pairs(
    x: Any, y: Any
) -> tuple[Float64[np.ndarray, "n_pairs d_model_a"], Float64[np.ndarray, "n_pairs d_model_b"]]:
    """Two NumPy arrays or torch tensors as float64 arrays whose rows belong together.

    Raises:
        ValueError: not two-dimensional, unequal numbers of rows, fewer than 3 rows, or entries that are not finite.
    """
    x, y = _as_array(x), _as_array(y)
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(f"expected two matrices (n_pairs, d_model), got shapes {x.shape} and {y.shape}")
    if len(x) != len(y):
        raise ValueError(f"expected as many rows in x as in y, got {len(x)} and {len(y)}")
    if len(x) < MINIMUM_PAIRS:
        raise ValueError(f"expected at least {MINIMUM_PAIRS} pairs, got {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected finite entries, got NaN or infinity")
    return x, y


def _as_array(matrix: Any) -> np.ndarray:
    if hasattr(matrix, "detach"):
        matrix = matrix.detach().cpu()
        matrix = (matrix.double() if matrix.is_floating_point() else matrix).numpy()
    return np.asarray(matrix, dtype=np.float64)
