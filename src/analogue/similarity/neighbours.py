"""Mutual nearest neighbours: do paired rows have the same rows around them?"""

import math
from functools import partial
from typing import Any, Literal

from jaxtyping import Float, Float64, Int64

from analogue.similarity.inputs import Array, Permutation, as_pairs, fill_diagonal, namespace, varying
from analogue.similarity.kernels import kernels
from analogue.similarity.metric import Metric, Scorer, undefined

K = 10
Agreement = Literal["overlap", "jaccard"]
AGREEMENT = ("overlap", "jaccard")


def mutual_knn(
    x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"], k: int = K, agreement: Agreement = "overlap"
) -> float:
    """Mean agreement of the k nearest neighbours (Euclidean) of row i in x and of row i in y.

    Where rows tie for the last places, each counts as a neighbour with the share of places that it has on average, so
    that no order of rows is preferred. Invariant to rotation, translation and isotropic scaling; symmetric.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x.
        k: neighbours a row; lowered to (n_pairs - 1) // 2 where there are fewer, for with all rows as neighbours
            every pairing agrees.
        agreement: `overlap` (common neighbours / k) or `jaccard` (common neighbours / neighbours on either side).

    Returns:
        A score in [0, 1], about k / (n_pairs - 1) for unrelated spaces (`overlap`); NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`; or k below 1, or an unknown `agreement`.

    Source:
        Huh et al. 2024, "The Platonic Representation Hypothesis", arXiv 2405.07987, appendix A.
    """
    return Metric("mutual_knn", partial(prepare_mutual_knn, k=k, agreement=agreement))(x, y)


def prepare_mutual_knn(x: Any, y: Any, k: int = K, agreement: Agreement = "overlap") -> Scorer:
    """The score of (x, y[permutation]): neighbours are found here, once; a draw looks up n_pairs * k entries."""
    if k < 1 or agreement not in AGREEMENT:
        raise ValueError(f"expected k of at least 1 and agreement in {AGREEMENT}, got {k} and {agreement!r}")
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
        return _agreement(in_both, rows, k, len(permutation), agreement)

    return score


def neighbour_shares(matrix: Float64[Array, "n d"], k: int) -> Float64[Array, "n n"]:
    """(i, j): how far row j is one of the k nearest neighbours of row i; 1 or 0, or between for ties at the border."""
    xp, twin = namespace(matrix), kernels(matrix)
    distances = twin.square(twin.distances(matrix))
    fill_diagonal(distances, math.inf)
    border = twin.kth_smallest(distances, k)
    closer, tied = distances < border, distances == border
    places_left = k - closer.sum(axis=1, keepdims=True)
    return xp.where(tied, places_left / tied.sum(axis=1, keepdims=True, dtype=xp.float64), closer)


def neighbour_warnings(x: Any, y: Any, k: int = K) -> list[str]:
    """Say where there are too few pairs for k neighbours."""
    possible = _possible(k, len(x))
    return [] if possible == k else [f"{possible} neighbours in place of {k}: there are only {len(x)} pairs"]


def _possible(k: int, n: int) -> int:
    return min(k, (n - 1) // 2)


def _agreement(
    in_both: Float64[Array, " n_entries"],
    rows: Int64[Array, " n_entries"],
    k: int,
    n: int,
    agreement: Agreement,
) -> float:
    common = kernels(in_both).row_sums(in_both, rows, n)
    return float((common / k if agreement == "overlap" else common / (2 * k - common)).mean())
