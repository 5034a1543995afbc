"""Orthogonal Procrustes, as a similarity."""

from typing import Any

from jaxtyping import Float

from analogue.similarity.backend import Scorer, namespace, nuclear_norm
from analogue.similarity.cca import principal_components
from analogue.similarity.inputs import as_pairs, identity, undefined


def procrustes(x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
    """How well one side can be rotated onto the other: ||X^T Y||_* / (||X||_F ||Y||_F), X and Y centred.

    With both sides scaled to norm 1 the squared Procrustes distance is 2 - 2 times this score. Invariant to rotation,
    translation and isotropic scaling of either side; symmetric; 1 only for a rotation.

    Args:
        x: (n_pairs, d_a) NumPy array or torch tensor; computed on its device.
        y: (n_pairs, d_b), row i paired with row i of x; the narrower side is padded with zeros, in effect.

    Returns:
        A score in [0, 1]; NaN where a side does not vary.

    Raises:
        ValueError: see `as_pairs`.

    Source:
        Schönemann 1966, Psychometrika 31; as a similarity, Williams et al. 2021, arXiv 2110.14739.
    """
    return prepare_procrustes(x, y)(identity(x))


def prepare_procrustes(x: Any, y: Any) -> Scorer:
    """The score of (x, y[permutation]) as a function of the permutation."""
    x, y = as_pairs(x, y)
    sides = [principal_components(side) for side in (x, y)]
    if not all(len(side.singular_values) for side in sides):
        return undefined
    # Component scores are a rotation of the centred rows, and narrower where there are fewer rows than columns.
    norm = namespace(x).linalg.norm
    a, b = (side.scores * (side.singular_values / norm(side.singular_values)) for side in sides)
    return lambda permutation: min(nuclear_norm(a.T @ b[permutation]), 1.0)
