"""Representational similarity analysis."""

from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from analogue.similarity.inputs import as_pairs
from analogue.similarity.metric import Metric, Permutation, Scorer

Inner = Literal["euclidean", "correlation", "cosine"]
Outer = Literal["spearman", "pearson"]
INNER = ("euclidean", "correlation", "cosine")
OUTER = ("spearman", "pearson")


def rsa(x: Any, y: Any, inner: Inner = "euclidean", outer: Outer = "spearman") -> float:
    """Correlation of the two representational dissimilarity matrices (RDMs).

    An RDM holds the distance of every two rows; the upper triangles of the two RDMs are correlated. Invariant to
    rotation and isotropic scaling of either side, with Euclidean distance also to translation; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor.
        y: (n_pairs, d_b), row i paired with row i of x.
        inner: distance of two rows: `euclidean` (the paper's text), `correlation` (the published code) or `cosine`.
        outer: `spearman` (average ranks for ties) or `pearson`.

    Returns:
        A score in [-1, 1]; NaN where all distances of a side are equal or one is undefined.

    Raises:
        ValueError: see `as_pairs`; or an unknown `inner` or `outer`.

    Source:
        Kriegeskorte et al. 2008, Frontiers in Systems Neuroscience 2:4.
    """
    return Metric(partial(prepare_rsa, inner=inner, outer=outer))(x, y)


def prepare_rsa(x: Any, y: Any, inner: Inner = "euclidean", outer: Outer = "spearman") -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation.

    A permutation of the rows only moves the entries of an RDM: distances, ranks and norms are computed here, once, and
    a draw is one sum over the upper triangle. Memory: 12 n_pairs^2 bytes are kept.
    """
    if inner not in INNER or outer not in OUTER:
        raise ValueError(f"expected inner in {INNER} and outer in {OUTER}, got {inner} and {outer}")
    from analogue.similarity.triangle import permuted_dot

    x, y = as_pairs(x, y)
    a, b = (_standardised(pdist(side, inner), outer) for side in (x, y))
    square = squareform(b)

    def score(permutation: Permutation) -> float:
        return float(np.clip(permuted_dot(a, square, np.asarray(permutation, dtype=np.int64)), -1.0, 1.0))

    return score


def _standardised(distances: Float64[np.ndarray, " n_distances"], outer: Outer) -> Float64[np.ndarray, " n_distances"]:
    """Distances (or their ranks), mean-free and of norm 1; all NaN if they do not vary."""
    values = rankdata(distances) if outer == "spearman" else distances
    values = values - values.mean()
    norm = np.linalg.norm(values)
    spread = len(values) ** 0.5 * np.abs(distances).max() if outer == "pearson" else 1.0
    if not norm > 1e-13 * spread:
        return np.full_like(values, np.nan)
    return values / norm
