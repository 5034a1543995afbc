"""Projection-weighted canonical correlation analysis, by its authors' code and by the formula of their paper."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from analogue.errors import check_option
from analogue.similarity.backend import Array, Permutation, Scorer, as_array, namespace
from analogue.similarity.cca import Components, principal_components
from analogue.similarity.inputs import as_pairs, identity, undefined, varying

WEIGHTS = ("published", "canonical")
# The weight of each canonical direction, given the rotation (k_a, k) from component scores to canonical variates.
Weigh = Callable[[Float64[Array, "k_a k"]], Float64[Array, " k"]]


def pwcca(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], weights: str = "published") -> float:
    """Canonical correlations averaged with the weight that each direction has in one of the two matrices.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        weights: `canonical`, the paper's formula: sum over columns j of |<h_i, x_j>|, h_i the i-th canonical variate
            of x and x_j centred. Invariant to isotropic scaling and translation of x and to any invertible affine map
            of y; not to rotations of x; not symmetric. `published`, the steps of the authors' code: weights come from
            the side with fewer columns (x if equal). Its directions are not divided by the covariance's square root,
            column means are added to them (so that the arbitrary signs of singular vectors matter), QR makes them
            orthogonal, and its columns are not centred. Not invariant to translation or rotation of that side. This
            is the default, because others copy that implementation.

    Returns:
        A score in [0, 1]; NaN where a side does not vary. The weights, and so the score, are not unique where
        canonical correlations coincide, as they do (at 1) with k_a + k_b > n_pairs.

    Raises:
        ValueError: see `as_pairs`; or unknown `weights`.

    Source:
        Morcos et al. 2018, arXiv 1806.05759; `compute_pwcca` of github.com/google/svcca.
    """
    return prepare_pwcca(x, y, weights)(identity(x))


def prepare_pwcca(x: Any, y: Any, weights: str = "published") -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation.

    With `published` weights, each draw on a device copies its (k_a, k_b) product to the CPU.
    """
    check_option("weights", weights, WEIGHTS)
    x, y = as_pairs(x, y)
    if weights == "published" and x.shape[1] > y.shape[1]:
        swapped = _weighted_mean(y, x, weights)
        # To permute the rows of one side is to permute those of the other by the inverse.
        return lambda permutation: swapped(np.argsort(permutation))
    return _weighted_mean(x, y, weights)


def _weighted_mean(x: Float64[Array, "n d_a"], y: Float64[Array, "n d_b"], weights: str) -> Scorer:
    """The score with weights from x."""
    x = x[:, varying(x)]
    if not x.shape[1]:
        return undefined
    a, b = principal_components(x), principal_components(y)
    k = min(len(a.singular_values), len(b.singular_values))
    if k == 0:
        return undefined
    if max(len(a.singular_values), len(b.singular_values)) == len(x) - 1:
        # One side spans all that centred pairs can: every canonical correlation is 1, whatever weight it gets.
        return lambda permutation: 1.0
    # The published weights depend on the signs that LAPACK gives singular vectors, so these are found on the CPU.
    to_cpu = as_array if weights == "published" else lambda array: array
    a, b = (Components(side.scores, *map(to_cpu, side[1:])) for side in (a, b))
    weigh = _canonical(a) if weights == "canonical" else _published(a, to_cpu(x.mean(axis=0)), len(x))
    xp = namespace(a.directions)

    def score(permutation: Permutation) -> float:
        # In the basis of the columns, not of the components, because the signs depend on it.
        correlation = a.directions.T @ to_cpu(a.scores.T @ b.scores[permutation]) @ b.directions
        left, correlations, _ = xp.linalg.svd(correlation, full_matrices=False)
        weight = weigh(a.directions @ left[:, :k])
        return float((xp.clip(correlations[:k], None, 1.0) * weight).sum() / weight.sum())

    return score


def _canonical(components: Components) -> Weigh:
    projections = components.singular_values[:, None] * components.directions
    return lambda rotation: abs(rotation.T @ projections).sum(axis=1)


def _published(components: Components, means: Float64[np.ndarray, " d"], n: int) -> Weigh:
    """Everything is written in the basis of the component scores and the constant 1/sqrt(n): no draw touches n rows."""
    constant = np.sqrt(n) * means
    columns = np.vstack([components.singular_values[:, None] * components.directions, constant])

    def weigh(rotation: Float64[np.ndarray, "k_a k"]) -> Float64[np.ndarray, " k"]:
        scaled = components.singular_values[:, None] * rotation
        # Direction i receives the mean of column i: an oddity of the published code, kept.
        orthogonal, _ = np.linalg.qr(np.vstack([scaled, constant[: rotation.shape[1]]]))
        return np.abs(orthogonal.T @ columns).sum(axis=1)

    return weigh
