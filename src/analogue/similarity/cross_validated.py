"""SVCCA without the floor: canonical directions from one half of the pairs, correlations on the other."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from analogue.similarity.components import principal_components
from analogue.similarity.inputs import EPSILON, Array, Permutation, as_pairs, namespace
from analogue.similarity.metric import Metric, Scorer
from analogue.similarity.svcca import VARIANCE

# Three pairs a half: with two, every correlation is 1 or -1.
MINIMUM_SPLIT_PAIRS = 6
_PAIRS_PER_COMPONENT = 4

Rows = Int64[np.ndarray, " n_half"]


class Whitened(NamedTuple):
    """One side, whitened by the half that is fitted."""

    fitted: Float64[Array, "n_fit k"]
    """Orthonormal, mean-free columns."""
    held_out: Float64[Array, "n_held k"]


def svcca_cross_validated(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    variance: float = VARIANCE,
    n_components: int | None = None,
    *,
    seed: int,
) -> float:
    """Mean correlation, on the half of the pairs held out, of the canonical directions of the other half.

    Both halves are fitted in turn and the two scores averaged. The principal components of `svcca` are kept, but no
    more than a quarter of the fitted pairs a side: with more, directions fit perfectly whatever the pairing and are
    not even unique. Correlations keep their sign, so unrelated spaces score about 0. Invariant to rotation,
    translation and isotropic scaling of either side; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor, computed on its device; at least 6 pairs.
        y: (n_pairs, d_b), row i paired with row i of x.
        variance: fraction of the variance to keep, in (0, 1].
        n_components: keep this many components a side instead, within the same limit.
        seed: of the split into halves, the same for every pairing.

    Returns:
        A score in [-1, 1]; NaN where a side does not vary within a half.

    Raises:
        ValueError: see `as_pairs`; or `variance` or `n_components` out of range.

    Source:
        Raghu et al. 2017, arXiv 1706.05806 (SVCCA); held-out canonical correlation as in Bilenko and Gallant 2016,
        "Pyrcca", Frontiers in Neuroinformatics 10:49.
    """
    prepare = partial(prepare_svcca_cross_validated, variance=variance, n_components=n_components, seed=seed)
    return Metric("svcca_cross_validated", prepare, minimum_pairs=MINIMUM_SPLIT_PAIRS)(x, y)


def prepare_svcca_cross_validated(
    x: Any, y: Any, variance: float = VARIANCE, n_components: int | None = None, *, seed: int
) -> Scorer:
    """The score of (x, y[permutation]); x is decomposed once, y by every draw, for its halves change."""
    x, y = as_pairs(x, y, MINIMUM_SPLIT_PAIRS)
    first, second = np.array_split(np.random.default_rng(seed).permutation(len(x)), 2)
    folds = [(first, second), (second, first)]
    sides_x = [_whiten(x, *fold, variance, n_components) for fold in folds]

    def score(permutation: Permutation) -> float:
        permuted = y[permutation]
        sides_y = [_whiten(permuted, *fold, variance, n_components) for fold in folds]
        return float(np.mean([_held_out_correlation(*sides) for sides in zip(sides_x, sides_y, strict=True)]))

    return score


def _whiten(
    matrix: Float64[Array, "n d"], fit: Rows, held_out: Rows, variance: float, n_components: int | None
) -> Whitened:
    fitted = matrix[fit]
    components = principal_components(fitted, variance, n_components)
    k = min(len(components.singular_values), max(1, len(fit) // _PAIRS_PER_COMPONENT))
    projection = components.directions[:k].T / components.singular_values[:k]
    return Whitened(components.scores[:, :k], (matrix[held_out] - fitted.mean(axis=0)) @ projection)


def _held_out_correlation(x: Whitened, y: Whitened) -> float:
    if not x.fitted.shape[1] or not y.fitted.shape[1]:
        return float("nan")
    rotation_x, _, rotation_y = namespace(x.fitted).linalg.svd(x.fitted.T @ y.fitted, full_matrices=False)
    variates_x, variates_y = (_standardised(side) for side in (x.held_out @ rotation_x, y.held_out @ rotation_y.T))
    return float((variates_x * variates_y).sum(axis=0).mean())


def _standardised(columns: Float64[Array, "n k"]) -> Float64[Array, "n k"]:
    xp = namespace(columns)
    deviations = columns - columns.mean(axis=0)
    norms = xp.linalg.norm(deviations, axis=0)
    vary = norms > len(columns) * EPSILON * xp.linalg.norm(columns, axis=0)
    return deviations / xp.where(vary, norms, math.nan)
