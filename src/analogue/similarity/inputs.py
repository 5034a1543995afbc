"""What every similarity metric asks of its two matrices, and where it computes."""

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

MINIMUM_PAIRS = 3
EPSILON = float(np.finfo(np.float64).eps)
Array = Any
"""A NumPy array, or a torch tensor on a device: formulas are written in the words that NumPy and torch share."""
Permutation = Int64[np.ndarray, " n_pairs"]


def as_pairs(
    x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], minimum: int = MINIMUM_PAIRS
) -> tuple[Float64[Array, "n_pairs d_a"], Float64[Array, "n_pairs d_b"]]:
    """Two matrices whose rows belong together, in float64: tensors on a device stay there, all else becomes NumPy's.

    Raises:
        ValueError: on two devices, not two-dimensional, unequal numbers of rows, fewer rows than `minimum`, or entries
            that are not finite.
    """
    if (stays_in_place(x) or stays_in_place(y)) and _device(x) != _device(y):
        raise ValueError(f"expected x and y on one device, got {_device(x)} and {_device(y)}")
    x, y = (side.detach().double() if stays_in_place(side) else as_array(side) for side in (x, y))
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(f"expected two matrices (n_pairs, d_model), got shapes {tuple(x.shape)} and {tuple(y.shape)}")
    if len(x) != len(y):
        raise ValueError(f"expected as many rows in x as in y, got {len(x)} and {len(y)}")
    if len(x) < minimum:
        raise ValueError(f"expected at least {minimum} pairs, got {len(x)}")
    for name, matrix in (("x", x), ("y", y)):
        finite = namespace(matrix).isfinite(matrix)
        if not finite.all():
            raise ValueError(f"expected finite entries, got {int((~finite).sum())} NaN or infinite in {name}")
    return x, y


def stays_in_place(matrix: Any) -> bool:
    """Whether metrics compute where the matrix lies: a tensor neither on the CPU nor on a device without float64."""
    return is_tensor(matrix) and matrix.device.type not in ("cpu", "mps")


def is_tensor(matrix: Any) -> bool:
    """Whether this is a torch tensor; says so without loading torch."""
    return hasattr(matrix, "detach")


def as_array(matrix: Any) -> Float64[np.ndarray, "..."]:
    """An array or a tensor of any device as a NumPy array of float64."""
    return np.asarray(matrix.detach().cpu().double() if is_tensor(matrix) else matrix, dtype=np.float64)


def namespace(matrix: Array) -> ModuleType:
    """NumPy or torch, whose names the two share."""
    if not is_tensor(matrix):
        return np
    import torch

    return torch


def centred(matrix: Float64[Array, "n d"]) -> Float64[Array, "n d"]:
    """Columns less their means; a column that varies by no more than the rounding of its mean becomes exactly 0."""
    norm = namespace(matrix).linalg.norm
    deviations = matrix - matrix.mean(axis=0)
    rounding = len(matrix) * EPSILON * norm(matrix, axis=0)
    deviations[:, norm(deviations, axis=0) <= rounding] = 0.0
    return deviations


def varying(matrix: Float64[Array, "n d"]) -> Bool[Array, " d"]:
    """Which columns have entries that differ."""
    xp = namespace(matrix)
    return xp.amax(matrix, axis=0) > xp.amin(matrix, axis=0)


def fill_diagonal(matrix: Float64[Array, "n n"], value: float) -> None:
    """Write the value in place."""
    diagonal = np.arange(len(matrix))
    matrix[diagonal, diagonal] = value


def _device(matrix: Any) -> str:
    return str(matrix.device) if is_tensor(matrix) else "cpu"
