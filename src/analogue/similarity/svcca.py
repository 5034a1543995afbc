"""Singular-vector canonical correlation analysis, and the first-component form of the published tables."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from analogue.similarity.components import floor_warnings, n_principal_components, principal_components
from analogue.similarity.inputs import Array, Permutation, as_pairs, is_tensor
from analogue.similarity.kernels import kernels
from analogue.similarity.metric import Metric, Scorer, undefined

VARIANCE = 0.99
# Up to here products take no time to speak of.
_SMALL = 64


def svcca(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    variance: float = VARIANCE,
    n_components: int | None = None,
) -> float:
    """Mean canonical correlation of the leading principal components of x and y.

    Both matrices are centred and reduced to the fewest principal components that keep `variance` of their variance.
    The canonical correlations of the two sets of component scores are averaged. Invariant to rotation, translation
    and isotropic scaling of either side; symmetric. Its floor is high: k_a + k_b - n_pairs + 1 of the
    correlations are 1 whatever the pairing, so never report it without its null.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        variance: fraction of the variance to keep, in (0, 1].
        n_components: keep this many components a side instead (fewer where the rank is lower).

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`; or `variance` or `n_components` out of range.

    Source:
        Raghu et al. 2017, "SVCCA", arXiv 1706.05806.
    """
    return Metric("svcca", partial(prepare_svcca, variance=variance, n_components=n_components))(x, y)


def svcca_pc1(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
    """|Pearson correlation| of the scores on the first principal component of x and of y.

    This is what the published code computes under the name SVCCA (it keeps one component a side). Invariant to
    rotation, translation and isotropic scaling of either side; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`.

    Source:
        Lan et al. 2024, arXiv 2410.06981, published code.
    """
    return svcca(x, y, n_components=1)


def prepare_svcca(x: Any, y: Any, variance: float = VARIANCE, n_components: int | None = None) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation; the decompositions are done here, once."""
    x, y = as_pairs(x, y)
    u, v = (principal_components(side, variance, n_components).scores for side in (x, y))
    return mean_canonical_correlation(u, v)


def svcca_warnings(x: Any, y: Any, variance: float = VARIANCE) -> list[str]:
    """See `floor_warnings`."""
    x, y = as_pairs(x, y)
    return floor_warnings(len(x), *(n_principal_components(side, variance) for side in (x, y)))


def mean_canonical_correlation(u: Float64[Array, "n k_a"], v: Float64[Array, "n k_b"]) -> Scorer:
    """Mean singular value of u^T v[permutation], u and v having orthonormal, mean-free columns.

    On the CPU, large products of shuffled rows are taken in single precision, which moves a draw by some 1e-9;
    everything else, the score of the pairs as they are included, in double.
    """
    (n, k_a), k_b = u.shape, v.shape[1]
    k = min(k_a, k_b)
    if k == 0:
        return undefined
    nuclear_norm = kernels(u).nuclear_norm
    if is_tensor(u):
        return lambda permutation: min(nuclear_norm(u.T @ v[permutation]) / k, 1.0)
    # Where correlations are 1 whatever the pairing, draws may tie with the score, and a tie must stay one.
    single = k > _SMALL and k_a + k_b < n
    u_drawn, v_drawn = (u.astype(np.float32), v.astype(np.float32)) if single else (u, v)

    def score(permutation: Permutation) -> float:
        as_paired = single and np.array_equal(permutation, np.arange(n))
        product = u.T @ v if as_paired else u_drawn.T @ v_drawn[permutation]
        return min(nuclear_norm(product.astype(np.float64, copy=False)) / k, 1.0)

    return score
