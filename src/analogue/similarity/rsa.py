"""Representational similarity analysis."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped

from analogue.errors import check_memory, check_option
from analogue.similarity import backend
from analogue.similarity.backend import Array, Permutation, Scorer, as_array, is_tensor, namespace
from analogue.similarity.inputs import as_pairs, centred, identity, undefined
from analogue.similarity.triangles import streamed_correlation

MOST_KEPT = 8192
"""Pairs whose distances are kept as they are: 2 GB, for a moment."""
BYTES_OF_KENDALL = 55  # for the square of the number of pairs: SciPy sorts every distance
INNER = ("euclidean", "correlation", "cosine")
OUTER = ("spearman", "pearson", "kendall")
# Distances that differ by less than this, relative to their scale, differ by rounding alone.
_ROUNDING = 1e-12
# With fewer rows, starting threads takes longer than it saves.
_WORTH_THREADS = 1024


def rsa(
    x: Float[Any, "n_pairs d_a"],
    y: Float[Any, "n_pairs d_b"],
    inner: str = "euclidean",
    outer: str = "spearman",
) -> float:
    """Correlation of the two representational dissimilarity matrices (RDMs).

    An RDM holds the distance of every two rows; the upper triangles of the two RDMs are correlated. Invariant to
    rotation and isotropic scaling of either side (`correlation`: to scaling, to a shift of all columns by one number,
    but not to rotation in general), with Euclidean distance also to translation; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        inner: distance of two rows: `euclidean` (the paper's text), `correlation` (the published code) or `cosine`.
        outer: `spearman` (average ranks for ties), `pearson` or `kendall` (tau-b, always computed on the CPU). For
            ranks, distances that are equal but for rounding tie: in ascending order, two neighbours that differ by no
            more than 1e-12 of the largest distance (`correlation`, `cosine`: 1e-12).

    Returns:
        A score in [-1, 1]; NaN where all distances of a side are equal or one is undefined.

    Raises:
        ValueError: see `as_pairs`; an unknown `inner` or `outer`; or too many pairs for `kendall` in this memory.

    Source:
        Kriegeskorte et al. 2008, Frontiers in Systems Neuroscience 2:4.
    """
    return prepare_rsa(x, y, inner, outer)(identity(x))


def prepare_rsa(x: Any, y: Any, inner: str = "euclidean", outer: str = "spearman") -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation.

    A permutation of the rows only moves the entries of an RDM: distances, ranks and norms are computed here, once, and
    a draw is one sum over the upper triangle (Kendall's tau: one sort of it). Memory: for `spearman` 6 n_pairs^2 bytes
    are kept and some 32 n_pairs^2 used meanwhile; beyond `MOST_KEPT` pairs 3 n_pairs^2 or less, see
    `analogue.similarity.triangles`. On a device 20 n_pairs^2 are kept, and each draw takes 8 n_pairs^2 more.
    """
    check_option("outer", outer, OUTER)
    compared = partial(_compared, inner=inner, outer=outer)
    x, y = as_pairs(x, y)
    if outer == "kendall":
        check_memory("outer", outer, BYTES_OF_KENDALL * len(x) ** 2, f"choose fewer than {len(x):,} pairs, or spearman")
    if not is_tensor(x) and len(x) > MOST_KEPT and outer != "kendall":
        check_option("inner", inner, INNER)
        a, b = (_directions(side, inner)[0] for side in (x, y))
        return streamed_correlation(a, b, inner, by_rank=outer == "spearman")
    with ThreadPoolExecutor(2) as pool:  # distances and sorting release Python's lock
        a, b = (map if is_tensor(x) or len(x) < _WORTH_THREADS else pool.map)(compared, (x, y))
    if a is None or b is None:
        return undefined
    return _kendall(as_array(a), as_array(b)) if outer == "kendall" else MatrixCorrelation(a, b)


def _compared(matrix: Float64[Array, "n d"], inner: str, outer: str) -> Array | None:
    """The upper triangle in the form that is correlated; None if it does not vary or has an undefined distance."""
    distances = dissimilarities(matrix, inner)
    scale = distances.max() if inner == "euclidean" else 1.0
    if not distances.max() - distances.min() > _ROUNDING * scale:
        return None
    if outer != "pearson":
        return backend.centred_ranks(distances, float(_ROUNDING * scale))
    deviations = distances - distances.mean()
    return deviations / namespace(deviations).linalg.norm(deviations)


def dissimilarities(matrix: Float64[Array, "n d"], inner: str = "euclidean") -> Float64[Array, " n_distances"]:
    """Distance of every two rows, condensed (`pdist` order: the upper triangle row by row).

    Returns:
        (n (n - 1) / 2,) distances: `euclidean`, `correlation` (1 - Pearson's r of two rows) or `cosine` (1 - cosine).
        NaN where undefined: rows that do not vary for `correlation`, zero rows for `cosine`.

    Raises:
        ValueError: unknown `inner`.
    """
    check_option("inner", inner, INNER)
    if inner == "euclidean":
        return backend.distances(matrix)
    xp = namespace(matrix)
    rows, norms = _directions(matrix, inner)
    # A row of norm 0 has no angle with any other.
    return backend.angles(rows / xp.where(norms > 0, norms, math.nan))


def undefined_distances(x: Any, y: Any, inner: str) -> str | None:
    """Why two sides have no score: a row without a direction has no distance; None if all rows have a direction.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor.
        y: (n_pairs, d_b).
        inner: `correlation` or `cosine`.
    """
    n_a, n_b = (int((_directions(side, inner)[1] == 0).sum()) for side in as_pairs(x, y))
    what = "the same in every entry" if inner == "correlation" else "0 in every entry"
    rows = f"{n_a} of the rows of A and {n_b} of those of B are {what}"
    return f"{rows}: such a row has no {inner} distance from another" if n_a or n_b else None


def _directions(matrix: Float64[Array, "n d"], inner: str) -> tuple[Float64[Array, "n d"], Float64[Array, "n 1"]]:
    """Rows whose angles are compared, and their norms."""
    rows = centred(matrix.T).T if inner == "correlation" else matrix
    return rows, namespace(matrix).linalg.norm(rows, axis=1, keepdims=True)


class MatrixCorrelation:
    """Pearson's r of the upper triangles of two symmetric matrices as a function of a permutation of the second.

    Args:
        a: (n_distances,) upper triangle, condensed (`pdist` order), mean-free and not all 0.
        b: (n_distances,) of the matrix whose rows and columns are permuted, likewise.
    """

    def __init__(self, a: Shaped[Array, " n_distances"], b: Shaped[Array, " n_distances"]) -> None:
        norm = namespace(a).linalg.norm
        self.a, self.b = a, backend.square(b)
        self._norms = float(norm(a) * norm(b))
        self._dot = backend.permuted_dot(self.a, self.b)

    def __call__(self, permutation: Permutation) -> float:
        """The score with y's rows in this order."""
        return float(np.clip(self._dot(permutation) / self._norms, -1.0, 1.0))


def _kendall(a: Shaped[np.ndarray, " n_distances"], b: Shaped[np.ndarray, " n_distances"]) -> Scorer:
    from scipy.spatial.distance import squareform
    from scipy.stats import kendalltau

    square = squareform(b)

    def score(permutation: Permutation) -> float:
        return float(kendalltau(a, squareform(square[np.ix_(permutation, permutation)], checks=False)).statistic)

    return score
