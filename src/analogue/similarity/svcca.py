"""Singular-vector canonical correlation analysis, and the first-component form of the published tables."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.linalg import eigvalsh, svd

from analogue.similarity.inputs import as_pairs
from analogue.similarity.metric import Metric, Permutation, Scorer

VARIANCE = 0.99


def svcca(x: Any, y: Any, variance: float = VARIANCE) -> float:
    """Mean canonical correlation of the leading principal components of x and y.

    Both matrices are centred and reduced to the fewest principal components that keep `variance` of their variance.
    The canonical correlations of the two sets of component scores are averaged. Invariant to rotation, translation
    and isotropic scaling of either side; symmetric. Its floor is high: with k_a + k_b >= n_pairs it is near 1 whatever
    the pairing, so never report it without its null.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor.
        y: (n_pairs, d_b), row i paired with row i of x.
        variance: fraction of the variance to keep, in (0, 1].

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`; or `variance` out of range.

    Source:
        Raghu et al. 2017, "SVCCA", arXiv 1706.05806.
    """
    return Metric(partial(prepare_svcca, variance=variance))(x, y)


def svcca_pc1(x: Any, y: Any) -> float:
    """|Pearson correlation| of the scores on the first principal component of x and of y.

    This is what the published code computes under the name SVCCA (it keeps one component a side). Invariant to
    rotation, translation and isotropic scaling of either side; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor.
        y: (n_pairs, d_b), row i paired with row i of x.

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`.

    Source:
        Lan et al. 2024, arXiv 2410.06981, published code.
    """
    return Metric(prepare_svcca_pc1)(x, y)


def prepare_svcca(x: Any, y: Any, variance: float = VARIANCE) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation; the decompositions are done here, once."""
    if not 0 < variance <= 1:
        raise ValueError(f"expected variance in (0, 1], got {variance}")
    x, y = as_pairs(x, y)
    return _mean_correlation(principal_directions(x, variance), principal_directions(y, variance))


def prepare_svcca_pc1(x: Any, y: Any) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation."""
    x, y = as_pairs(x, y)
    return _mean_correlation(principal_directions(x, 1.0)[:, :1], principal_directions(y, 1.0)[:, :1])


def svcca_warnings(x: Any, y: Any, variance: float = VARIANCE) -> list[str]:
    """Warn where so few pairs are left for so many components that chance alone scores high."""
    x, y = as_pairs(x, y)
    k_a, k_b = (principal_directions(side, variance).shape[1] for side in (x, y))
    if len(x) >= 2 * (k_a + k_b):
        return []
    return [f"{len(x)} pairs for {k_a} + {k_b} components: unrelated spaces score high too; read it against its null"]


def principal_directions(matrix: Float64[np.ndarray, "n d"], variance: float) -> Float64[np.ndarray, "n k"]:
    """Orthonormal, mean-free principal component scores: the fewest that keep `variance`, none for constant rows."""
    centred = matrix - matrix.mean(0)
    left, singular_values, _ = svd(centred, full_matrices=False)
    # Rounding leaves constant columns a variance of the order of the machine precision.
    noise = max(matrix.shape) * np.finfo(np.float64).eps * max(np.linalg.norm(matrix, 2), np.finfo(np.float64).tiny)
    singular_values = singular_values[singular_values > noise]
    kept = np.cumsum(singular_values**2)
    k = int(np.searchsorted(kept, variance * kept[-1] * (1 - 1e-12))) + 1 if len(kept) else 0
    return left[:, : min(k, len(kept))]


def _mean_correlation(u: Float64[np.ndarray, "n k_a"], v: Float64[np.ndarray, "n k_b"]) -> Scorer:
    """Mean singular value of u^T v[permutation]: the canonical correlations of two orthonormal bases."""
    if u.shape[1] == 0 or v.shape[1] == 0:
        return lambda permutation: float("nan")
    if u.shape[1] > v.shape[1]:
        # eigvalsh below wants the smaller Gram matrix; which side is permuted does not matter to it
        return lambda permutation: _mean_singular_value(v[permutation].T @ u)
    return lambda permutation: _mean_singular_value(u.T @ v[permutation])


def _mean_singular_value(product: Float64[np.ndarray, "k_small k_large"]) -> float:
    squared = eigvalsh(product @ product.T, check_finite=False)
    return float(np.sqrt(np.clip(squared, 0.0, 1.0)).mean())
