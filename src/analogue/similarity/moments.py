"""Metrics of matrices of many rows, from the inner products of their centred columns alone.

Of n rows only (d_a, d_a), (d_b, d_b) and (d_a, d_b) products are held. A permutation of the rows of one matrix changes
the last alone, so that what follows from the first two is computed once.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from analogue.similarity.backend import nuclear_norm
from analogue.similarity.inputs import EPSILON

MomentScorer = Callable[[Float64[np.ndarray, "d_a d_b"]], float]
"""The score as a function of the inner products of x's columns with y's; what depends on one side is computed."""
FromMoments = Callable[[Float64[np.ndarray, "d_a d_a"], Float64[np.ndarray, "d_b d_b"]], MomentScorer]


def svcca_from_moments(
    xx: Float64[np.ndarray, "d_a d_a"],
    yy: Float64[np.ndarray, "d_b d_b"],
    variance: float = 1.0,
    n_components: int | None = None,
) -> MomentScorer:
    """SVCCA: the mean singular value of the cross products of whitened components; see `svcca`.

    Args:
        xx: (d_a, d_a) inner products of the centred columns of x.
        yy: (d_b, d_b) those of y.
        variance: fraction of the variance that the components keep, in (0, 1].
        n_components: keep this many components per side instead.
    """
    u, v = (_whitening(each, variance, n_components) for each in (xx, yy))
    k = min(u.shape[1], v.shape[1])
    if k == 0:
        return _undefined
    return lambda xy: min(nuclear_norm(u.T @ xy @ v) / k, 1.0)


def cka_from_moments(xx: Float64[np.ndarray, "d_a d_a"], yy: Float64[np.ndarray, "d_b d_b"]) -> MomentScorer:
    """Linear CKA; see `cka`."""
    norm = float(np.linalg.norm(xx) * np.linalg.norm(yy))
    return (lambda xy: min(float(np.square(xy).sum()) / norm, 1.0)) if norm > 0 else _undefined


def procrustes_from_moments(xx: Float64[np.ndarray, "d_a d_a"], yy: Float64[np.ndarray, "d_b d_b"]) -> MomentScorer:
    """Orthogonal Procrustes, as a similarity; see `procrustes`."""
    norm = float(np.sqrt(np.trace(xx) * np.trace(yy)))
    return (lambda xy: min(nuclear_norm(xy) / norm, 1.0)) if norm > 0 else _undefined


def _whitening(
    products: Float64[np.ndarray, "d d"], variance: float, n_components: int | None
) -> Float64[np.ndarray, "d k"]:
    """Takes centred columns to their leading principal components, of norm 1 each."""
    values, vectors = np.linalg.eigh(products)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int((values > len(values) * EPSILON * values[0]).sum()) if len(values) else 0
    kept = np.cumsum(values[:rank])
    if n_components is not None or rank == 0:
        k = min(n_components or 0, rank)
    else:
        k = min(int(np.searchsorted(kept, variance * kept[-1] * (1 - 1e-12))) + 1, rank)
    return vectors[:, :k] / np.sqrt(values[:k])


def _undefined(xy: Float64[np.ndarray, "d_a d_b"]) -> float:
    return float("nan")
