"""What all similarity metrics share: two matrices whose rows are paired, and scores as functions of a permutation."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from analogue.similarity.backend import Array, Permutation, as_array, is_tensor, namespace

MINIMUM_PAIRS = 3
EPSILON = float(np.finfo(np.float64).eps)


def as_pairs(
    x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], minimum: int = MINIMUM_PAIRS
) -> tuple[Float64[Array, "n_pairs d_a"], Float64[Array, "n_pairs d_b"]]:
    """Two matrices whose rows are paired, in float64: tensors on a device stay there, all else becomes NumPy arrays.

    Raises:
        ValueError: the two lie on different devices, are not two-dimensional, differ in their number of rows, have
            fewer rows than `minimum`, or have entries that are not finite.
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


def identity(matrix: Any) -> Permutation:
    """The permutation that leaves the rows of a matrix, and so the pairs, as they are."""
    return np.arange(len(matrix))


def undefined(permutation: Permutation) -> float:
    """The scorer of pairs of which a side does not vary: NaN for every permutation."""
    return float("nan")


def stays_in_place(matrix: Any) -> bool:
    """Whether metrics compute on the matrix's own device: a tensor, neither on the CPU nor on MPS (no float64)."""
    return is_tensor(matrix) and matrix.device.type not in ("cpu", "mps")


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
