"""Canonical correlation analysis: of the leading principal components (SVCCA), of all that varies, and held out."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from analogue.errors import check_minima
from analogue.similarity import backend
from analogue.similarity.backend import Array, Permutation, Scorer, as_array, is_tensor, namespace
from analogue.similarity.inputs import EPSILON, as_pairs, centred, identity, undefined

VARIANCE = 0.99
# Three pairs per half: with two, every correlation is 1 or -1.
MINIMUM_SPLIT_PAIRS = 6
_PAIRS_PER_COMPONENT = 4
# Up to this many components, products take no time to speak of.
_SMALL = 64


def svcca(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    variance: float = VARIANCE,
    n_components: int | None = None,
) -> float:
    """Singular-vector CCA: mean canonical correlation of the leading principal components of x and y.

    Both matrices are centred and reduced to the fewest principal components that keep `variance` of their variance.
    The canonical correlations of the two sets of component scores are averaged. Invariant to rotation, translation
    and isotropic scaling of either side; symmetric. Its floor is high: k_a + k_b - n_pairs + 1 of the
    correlations are 1 whatever the pairing, so never report it without its null.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        variance: fraction of the variance to keep, in (0, 1].
        n_components: keep this many components per side instead (fewer where the rank is lower).

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`; or `variance` or `n_components` out of range.

    Source:
        Raghu et al. 2017, "SVCCA", arXiv 1706.05806.
    """
    return prepare_svcca(x, y, variance, n_components)(identity(x))


def prepare_svcca(x: Any, y: Any, variance: float = VARIANCE, n_components: int | None = None) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation; the decompositions are done here, once."""
    x, y = as_pairs(x, y)
    u, v = (principal_components(side, variance, n_components).scores for side in (x, y))
    return mean_canonical_correlation(u, v)


def svcca_pc1(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
    """|Pearson correlation| of the scores on the first principal component of x and of y.

    The published code computes this under the name SVCCA: it keeps one component per side. Arguments, invariances,
    symmetry, result and errors as for `svcca`.

    Source:
        Lan et al. 2024, arXiv 2410.06981, published code.
    """
    return svcca(x, y, n_components=1)


def cca(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], squared: bool = False) -> float:
    """Mean of all canonical correlations of x and y; there are as many as the smaller rank.

    Invariant to invertible affine maps of either side (so to rotation, translation and any scaling); symmetric. Its
    floor is higher still than that of `svcca`: never report it without its null.

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
    return prepare_cca(x, y, squared)(identity(x))


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
    # The squared singular values of a matrix sum to its squared Frobenius norm: no decomposition is needed.
    return lambda permutation: min(float(square(u.T @ v[permutation]).sum()) / k, 1.0)


def mean_canonical_correlation(u: Float64[Array, "n k_a"], v: Float64[Array, "n k_b"]) -> Scorer:
    """Mean singular value of u^T v[permutation], where u and v have orthonormal, mean-free columns.

    On the CPU, large products of shuffled rows are taken in single precision, which moves a draw by some 1e-9;
    everything else, including the score of the pairs as they are, is computed in double precision.
    """
    (n, k_a), k_b = u.shape, v.shape[1]
    k = min(k_a, k_b)
    if k == 0:
        return undefined
    if is_tensor(u):
        return lambda permutation: min(backend.nuclear_norm(u.T @ v[permutation]) / k, 1.0)
    # Where correlations are 1 whatever the pairing, draws may tie with the score, and a tie must stay one.
    single = k > _SMALL and k_a + k_b < n
    u_drawn, v_drawn = (u.astype(np.float32), v.astype(np.float32)) if single else (u, v)

    def score(permutation: Permutation) -> float:
        as_paired = single and np.array_equal(permutation, np.arange(n))
        product = u.T @ v if as_paired else u_drawn.T @ v_drawn[permutation]
        return min(backend.nuclear_norm(product.astype(np.float64, copy=False)) / k, 1.0)

    return score


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
    return Components(*backend.leading_svd(centred(matrix), n_kept))


def n_principal_components(
    matrix: Float64[Array, "n d"], variance: float = 1.0, n_components: int | None = None
) -> int:
    """How many components `principal_components` keeps, without their vectors: several times faster."""
    singular_values = namespace(matrix).linalg.svdvals(centred(matrix))
    return _n_kept(singular_values, matrix, variance, n_components)


def _n_kept(
    singular_values: Float64[Array, " r"], matrix: Float64[Array, "n d"], variance: float, n_components: int | None
) -> int:
    if not 0 < variance <= 1:
        raise ValueError(f"expected variance in (0, 1], got {variance}")
    check_minima({"n_components": (1 if n_components is None else n_components, 1)})
    # The norm of the matrix itself, not of the centred one: subtracting large means leaves their rounding behind.
    noise = max(matrix.shape) * EPSILON * float(namespace(matrix).linalg.norm(matrix))
    singular_values = as_array(singular_values)
    rank = int((singular_values > noise).sum())
    if n_components is not None or rank == 0:
        return min(n_components or 0, rank)
    kept = np.cumsum(singular_values[:rank] ** 2)
    return min(int(np.searchsorted(kept, variance * kept[-1] * (1 - 1e-12))) + 1, rank)


def floor_warnings(x: Any, y: Any, variance: float = 1.0) -> list[str]:
    """Warn where pairs are so few for the number of components that unrelated spaces score high."""
    x, y = as_pairs(x, y)
    n_pairs, (k_a, k_b) = len(x), (n_principal_components(side, variance) for side in (x, y))
    if n_pairs >= 2 * (k_a + k_b):
        return []
    # Centred rows span n_pairs - 1 dimensions, so two subspaces that are larger together must intersect.
    forced = min(k_a + k_b - (n_pairs - 1), k_a, k_b)
    floor = "unrelated spaces score high too"
    if forced > 0:
        floor = f"{forced} of {min(k_a, k_b)} canonical correlations are 1 whatever the pairing"
    return [f"a high floor: {n_pairs} pairs for {k_a} + {k_b} components, {floor}; compare the score with its null"]


def svcca_cross_validated(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    variance: float = VARIANCE,
    n_components: int | None = None,
    *,
    seed: int,
) -> float:
    """SVCCA without the floor: the canonical directions of one half of the pairs, correlated on the other half.

    Both halves are fitted in turn and the two scores averaged. The principal components of `svcca` are kept, but no
    more per side than a quarter of the fitted pairs: with more, directions fit perfectly whatever the pairing and are
    not even unique. Correlations keep their sign, so unrelated spaces score about 0. Invariant to rotation,
    translation and isotropic scaling of either side; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor, computed on its device; at least 6 pairs.
        y: (n_pairs, d_b), row i paired with row i of x.
        variance: fraction of the variance to keep, in (0, 1].
        n_components: keep this many components per side instead, within the same limit.
        seed: of the split into halves, the same for every pairing.

    Returns:
        A score in [-1, 1]; NaN where a side does not vary within a half.

    Raises:
        ValueError: see `as_pairs`; or `variance` or `n_components` out of range.

    Source:
        Raghu et al. 2017, arXiv 1706.05806 (SVCCA); held-out canonical correlation as in Bilenko and Gallant 2016,
        "Pyrcca", Frontiers in Neuroinformatics 10:49.
    """
    return prepare_svcca_cross_validated(x, y, variance, n_components, seed=seed)(identity(x))


def prepare_svcca_cross_validated(
    x: Any, y: Any, variance: float = VARIANCE, n_components: int | None = None, *, seed: int
) -> Scorer:
    """The score of (x, y[permutation]); x is decomposed once, y per draw, since its halves change."""
    x, y = as_pairs(x, y, MINIMUM_SPLIT_PAIRS)
    first, second = np.array_split(np.random.default_rng(seed).permutation(len(x)), 2)

    def whiten_folds(matrix: Float64[Array, "n d"]) -> list[Any]:
        return [_whiten(matrix, *fold, variance, n_components) for fold in ((first, second), (second, first))]

    folds_x = whiten_folds(x)

    def score(permutation: Permutation) -> float:
        folds_y = whiten_folds(y[permutation])
        return float(np.mean([_held_out_correlation(*fold) for fold in zip(folds_x, folds_y, strict=True)]))

    return score


def _whiten(
    matrix: Float64[Array, "n d"],
    fit: Int64[np.ndarray, " n_fit"],
    held_out: Int64[np.ndarray, " n_held"],
    variance: float,
    n_components: int | None,
) -> tuple[Float64[Array, "n_fit k"], Float64[Array, "n_held k"]]:
    """Both halves of one side, whitened by the half that is fitted, whose columns are orthonormal and mean-free."""
    fitted = matrix[fit]
    components = principal_components(fitted, variance, n_components)
    k = min(len(components.singular_values), max(1, len(fit) // _PAIRS_PER_COMPONENT))
    projection = components.directions[:k].T / components.singular_values[:k]
    return components.scores[:, :k], (matrix[held_out] - fitted.mean(axis=0)) @ projection


def _held_out_correlation(x: tuple[Array, Array], y: tuple[Array, Array]) -> float:
    (fitted_x, held_out_x), (fitted_y, held_out_y) = x, y
    if not fitted_x.shape[1] or not fitted_y.shape[1]:
        return float("nan")
    rotation_x, _, rotation_y = namespace(fitted_x).linalg.svd(fitted_x.T @ fitted_y, full_matrices=False)
    variates_x, variates_y = (_standardised(side) for side in (held_out_x @ rotation_x, held_out_y @ rotation_y.T))
    return float((variates_x * variates_y).sum(axis=0).mean())


def _standardised(columns: Float64[Array, "n k"]) -> Float64[Array, "n k"]:
    xp = namespace(columns)
    deviations = columns - columns.mean(axis=0)
    norms = xp.linalg.norm(deviations, axis=0)
    vary = norms > len(columns) * EPSILON * xp.linalg.norm(columns, axis=0)
    return deviations / xp.where(vary, norms, math.nan)
