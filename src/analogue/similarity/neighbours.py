"""Mutual nearest neighbours: are the nearest rows of paired rows the same?"""

import math
from typing import Any

from jaxtyping import Float, Float64

from analogue.errors import check_minima, check_option
from analogue.similarity import backend
from analogue.similarity.backend import Array, Permutation, Scorer, namespace
from analogue.similarity.inputs import as_pairs, fill_diagonal, identity, undefined, varying

K = 10
AGREEMENT = ("overlap", "jaccard")


def mutual_knn(
    x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], k: int = K, agreement: str = "overlap"
) -> float:
    """Mean agreement of the k nearest neighbours (Euclidean) of row i in x and of row i in y.

    Where rows tie for the last places, each counts with the fraction of places that it has on average, so that the
    order of the rows does not matter. Invariant to rotation, translation and isotropic scaling; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        k: neighbours per row; at most (n_pairs - 1) // 2 are used, since every pairing agrees if all rows are
            neighbours.
        agreement: `overlap` (common neighbours / k) or `jaccard` (common neighbours / neighbours on either side).

    Returns:
        A score in [0, 1], about k / (n_pairs - 1) for unrelated spaces (`overlap`); NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`; or k below 1, or an unknown `agreement`.

    Source:
        Huh et al. 2024, "The Platonic Representation Hypothesis", arXiv 2405.07987, appendix A.
    """
    return prepare_mutual_knn(x, y, k, agreement)(identity(x))


def prepare_mutual_knn(x: Any, y: Any, k: int = K, agreement: str = "overlap") -> Scorer:
    """The score of (x, y[permutation]): neighbours are found here, once; each draw looks up n_pairs * k entries."""
    check_minima({"k": (k, 1)})
    check_option("agreement", agreement, AGREEMENT)
    x, y = as_pairs(x, y)
    if not (varying(x).any() and varying(y).any()):
        return undefined
    k = _possible(k, len(x))
    shares_x, shares_y = (neighbour_shares(side, k) for side in (x, y))
    xp = namespace(x)
    rows, columns = xp.where(shares_x)
    in_x = shares_x[rows, columns]
    del shares_x

    def score(permutation: Permutation) -> float:
        order = xp.asarray(permutation, device=rows.device)
        in_both = xp.minimum(in_x, shares_y[order[rows], order[columns]])
        common = backend.row_sums(in_both, rows, len(permutation))
        return float((common / k if agreement == "overlap" else common / (2 * k - common)).mean())

    return score


def neighbour_shares(matrix: Float64[Array, "n d"], k: int) -> Float64[Array, "n n"]:
    """(i, j): 1 if row j is one of the k nearest neighbours of row i, else 0; between them for ties at the border."""
    xp = namespace(matrix)
    distances = backend.square(backend.distances(matrix))
    fill_diagonal(distances, math.inf)
    border = backend.kth_smallest(distances, k)
    closer, tied = distances < border, distances == border
    places_left = k - closer.sum(axis=1, keepdims=True)
    return xp.where(tied, places_left / tied.sum(axis=1, keepdims=True, dtype=xp.float64), closer)


def neighbour_warnings(x: Any, y: Any, k: int = K) -> list[str]:
    """Warn where there are too few pairs for k neighbours."""
    possible = _possible(k, len(x))
    return [] if possible == k else [f"{possible} neighbours in place of {k}: there are only {len(x)} pairs"]


def _possible(k: int, n: int) -> int:
    return min(k, (n - 1) // 2)
