"""Canonical correlation analysis of all that varies."""

from functools import partial
from typing import Any

from jaxtyping import Float

from analogue.similarity.components import principal_components
from analogue.similarity.inputs import Permutation, as_pairs, namespace
from analogue.similarity.metric import Metric, Scorer, undefined
from analogue.similarity.svcca import mean_canonical_correlation, svcca_warnings


def cca(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], squared: bool = False) -> float:
    """Mean canonical correlation of x and y, over as many as the smaller rank.

    Invariant to invertible affine maps of either side (so to rotation, translation and any scaling); symmetric. Its
    floor is higher still than SVCCA's: never report it without its null.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        squared: average the squared canonical correlations (R^2_CCA of Kornblith et al.).

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`.

    Source:
        Hotelling 1936, "Relations between two sets of variates"; Kornblith et al. 2019, arXiv 1905.00414, table 1.
    """
    return Metric("cca", partial(prepare_cca, squared=squared))(x, y)


def prepare_cca(x: Any, y: Any, squared: bool = False) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation."""
    x, y = as_pairs(x, y)
    u, v = (principal_components(side).scores for side in (x, y))
    if not squared:
        return mean_canonical_correlation(u, v)
    k = min(u.shape[1], v.shape[1])
    if k == 0:
        return undefined

    square = namespace(u).square

    def score(permutation: Permutation) -> float:
        # The squared singular values of a matrix sum to its squared Frobenius norm: no decomposition is needed.
        return min(float(square(u.T @ v[permutation]).sum()) / k, 1.0)

    return score


cca_warnings = partial(svcca_warnings, variance=1.0)
