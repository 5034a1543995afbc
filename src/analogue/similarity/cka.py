"""Centred kernel alignment: linear, debiased and with a Gaussian (RBF) kernel."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from analogue.similarity import backend
from analogue.similarity.backend import Array, Permutation, Scorer, namespace
from analogue.similarity.inputs import as_pairs, centred, fill_diagonal, identity, undefined

MINIMUM_DEBIASED_PAIRS = 4
# A centred kernel that is smaller than this, relative to the kernel, is rounding.
_ROUNDING = 1e-12

Matrix = Float64[Array, "n d"]
Kernel = Float64[Array, "n n"]


def cka(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
    """Linear CKA: ||X^T Y||_F^2 / (||X^T X||_F ||Y^T Y||_F), X and Y centred.

    Invariant to rotation, translation and isotropic scaling of either side; symmetric. Biased upwards with few pairs
    and many dimensions: see `cka_debiased`.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`.

    Source:
        Kornblith et al. 2019, arXiv 1905.00414, equation 4 and section 3.
    """
    return prepare_cka(x, y)(identity(x))


def cka_debiased(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
    """Linear CKA with the unbiased estimator of HSIC: about 0 for unrelated spaces, however few the pairs.

    Invariant to rotation, translation and isotropic scaling of either side; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x; at least 4 pairs.

    Returns:
        A score in [-1, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`.

    Source:
        Nguyen et al. 2021, arXiv 2010.15327; Song et al. 2012, JMLR 13:1393, in the form of
        Székely and Rizzo 2014, "Partial distance correlation", definition 2 (U-centring).
    """
    return prepare_cka_debiased(x, y)(identity(x))


def cka_rbf(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], bandwidth: float = 1.0) -> float:
    """CKA with Gaussian kernels exp(-distance^2 / (2 sigma^2)), sigma being `bandwidth` times the median distance.

    Invariant to rotation, translation and isotropic scaling of either side; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        bandwidth: sigma in units of each side's median distance of two rows.

    Returns:
        A score in [0, 1]; NaN where a side does not vary or its median distance is 0.

    Raises:
        ValueError: see `as_pairs`; or a `bandwidth` that is not positive.

    Source:
        Kornblith et al. 2019, arXiv 1905.00414, section 3.
    """
    return prepare_cka_rbf(x, y, bandwidth)(identity(x))


def prepare_cka(x: Any, y: Any) -> Scorer:
    """The score of (x, y[permutation]): centring commutes with permuting, so kernels are centred here, once.

    Memory: 12 n_pairs^2 bytes are kept and some 24 n_pairs^2 used meanwhile, whatever the kernel; on a device 16
    n_pairs^2 are kept, and each draw takes 8 n_pairs^2 more.
    """
    return _alignment(*(_doubly_centred(linear_kernel(side)) for side in as_pairs(x, y)))


def prepare_cka_debiased(x: Any, y: Any) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation."""
    return _alignment(*(_u_centred(linear_kernel(side)) for side in as_pairs(x, y, MINIMUM_DEBIASED_PAIRS)))


def prepare_cka_rbf(x: Any, y: Any, bandwidth: float = 1.0) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation."""
    if not bandwidth > 0:
        raise ValueError(f"expected a positive bandwidth, got {bandwidth}")
    return _alignment(*(_doubly_centred(rbf_kernel(side, bandwidth)) for side in as_pairs(x, y)))


def linear_kernel(matrix: Matrix) -> Kernel:
    """Inner products of every two rows, columns centred."""
    matrix = centred(matrix)
    return matrix @ matrix.T


def rbf_kernel(matrix: Matrix, bandwidth: float = 1.0) -> Kernel:
    """Gaussian kernel of every two rows; NaN off the diagonal where the median distance is 0."""
    xp = namespace(matrix)
    distances = backend.distances(matrix)
    sigma = bandwidth * backend.median(distances)
    kernel = backend.square(xp.exp(-0.5 * xp.square(distances / (sigma if sigma > 0 else math.nan))))
    fill_diagonal(kernel, 1.0)
    return kernel


def _doubly_centred(kernel: Kernel) -> Kernel:
    """H K H, of norm 1: rows and columns sum to 0. All NaN where the kernel does not vary."""
    means = kernel.mean(axis=0)
    return _unit(kernel - means - means[:, None] + means.mean(), _norm(kernel))


def _u_centred(kernel: Kernel) -> Kernel:
    """U-centred, of norm 1: the diagonal is 0, each row sums to 0, and inner products are unbiased."""
    n = len(kernel)
    fill_diagonal(kernel, 0.0)
    sums = kernel.sum(axis=0)
    result = kernel - (sums + sums[:, None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    fill_diagonal(result, 0.0)
    return _unit(result, _norm(kernel))


def _unit(kernel: Kernel, scale: float) -> Kernel:
    norm = _norm(kernel)
    return kernel / (norm if norm > _ROUNDING * scale else math.nan)


def _norm(kernel: Kernel) -> float:
    return float(namespace(kernel).linalg.norm(kernel))


def _alignment(a: Kernel, b: Kernel) -> Scorer:
    """Inner product of two kernels of norm 1."""
    if math.isnan(a[0, 0]) or math.isnan(b[0, 0]):
        return undefined
    diagonal = np.arange(len(a))
    diagonal_a, diagonal_b = a[diagonal, diagonal], b[diagonal, diagonal]
    dot = backend.permuted_dot(backend.condensed(a), b)

    def score(permutation: Permutation) -> float:
        total = 2 * dot(permutation) + float(diagonal_a @ diagonal_b[permutation])
        return float(np.clip(total, -1.0, 1.0))

    return score
