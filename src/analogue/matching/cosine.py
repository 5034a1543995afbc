"""Pairing by weights: the cosine of decoder rows."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from analogue.errors import check_option
from analogue.features import FeatureActivations
from analogue.matching.pairs import FeaturePairs, as_pairs
from analogue.matching.partners import FindPartners, best_partners
from analogue.matching.standardised import DECIMALS
from analogue.matching.subsets import SubsetCorrelations
from analogue.options import Direction

_ROWS = 1024


def cosine(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
    *,
    decoder_a: Float[Any, "d_sae_a d_model"],
    decoder_b: Float[Any, "d_sae_b d_model"],
) -> FeaturePairs:
    """Pair every feature of the claiming side with the one of the highest decoder cosine similarity (Appendix A).

    For two SAEs of one model, whose decoders share a basis. Scores of pairs found this way do not show a common
    geometry: the pairs were chosen by it.

    Args:
        acts_a: activations (n_tokens, d_sae_a); only features that have variance are paired.
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: "a_to_b" if A claims, "b_to_a" if B does.
        find: not used; every rule takes it.
        decoder_a: (d_sae_a, d_model) NumPy array or torch tensor.
        decoder_b: (d_sae_b, d_model).

    Returns:
        One pair for every feature of the claiming side that has variance, in its order; `correlation` is that of
        their activations, as with every rule.

    Raises:
        ValueError: if the decoders' shapes do not fit the activations or each other, the sides differ in n_tokens, or
            the direction is neither of the two.
    """
    check_option("direction", direction, Direction)
    decoder_a, decoder_b = _directions(decoder_a, acts_a, "decoder_a"), _directions(decoder_b, acts_b, "decoder_b")
    if decoder_a.shape[1] != decoder_b.shape[1]:
        raise ValueError(f"expected decoders of one model, got d_model {decoder_a.shape[1]} and {decoder_b.shape[1]}")
    correlations = SubsetCorrelations(acts_a, acts_b)
    live_a, live_b = correlations.live_a, correlations.live_b
    if direction == Direction.a_to_b:
        feature_a, feature_b = _nearest(decoder_a, decoder_b, live_a, live_b)
    else:
        feature_b, feature_a = _nearest(decoder_b, decoder_a, live_b, live_a)
    correlation = correlations.paired(feature_a, feature_b)
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def paired_cosines(
    x: Float[Any, "n_pairs d_model"], y: Float[Any, "n_pairs d_model"]
) -> Float64[np.ndarray, " n_pairs"]:
    """The cosine similarity, in [-1, 1], of each row of x with the row of y at its place; 0 where one is all zeros.

    Args:
        x: (n_pairs, d_model) NumPy array or torch tensor.
        y: (n_pairs, d_model).
    """
    return np.clip(np.einsum("ij,ij->i", unit_rows(x), unit_rows(y)), -1.0, 1.0)


def nearest_rows(
    matrix: Float[Any, "n d_model"], k: int
) -> tuple[Int64[np.ndarray, "n k"], Float64[np.ndarray, "n k"]]:
    """The k other rows of highest cosine with each row, highest first, ties to the lowest; -1 and NaN where none is.

    Args:
        matrix: (n, d_model) NumPy array or torch tensor.
        k: how many.

    Returns:
        Rows and cosines.
    """
    rows = unit_rows(matrix)
    nearest, cosines = np.full((len(rows), k), -1, dtype=np.int64), np.full((len(rows), k), np.nan)
    n = min(k, len(rows) - 1)
    for start in range(0, len(rows), _ROWS) if n > 0 else ():
        some = np.arange(start, min(start + _ROWS, len(rows)))
        found = np.round(rows[some] @ rows.T, DECIMALS)
        found[np.arange(len(some)), some] = -np.inf
        order = np.argsort(-found, axis=1, kind="stable")[:, :n]
        nearest[some, :n], cosines[some, :n] = order, np.take_along_axis(found, order, axis=1)
    return nearest, cosines


def _nearest(
    own: Float64[np.ndarray, "n d"], other: Float64[np.ndarray, "m d"], claiming: np.ndarray, claimed: np.ndarray
) -> tuple[Int64[np.ndarray, " n_pairs"], Int64[np.ndarray, " n_pairs"]]:
    """Every claiming row with the claimed row of the highest cosine, the lowest of equals."""
    if len(claimed) == 0:
        return claiming[:0], claimed
    blocks = np.split(claiming, range(_ROWS, len(claiming), _ROWS))
    others = other[claimed].T
    # Rounded, so that equal rows tie wherever in the product they stand.
    nearest = [claimed[np.round(own[some] @ others, DECIMALS).argmax(axis=1)] for some in blocks]
    return claiming, np.concatenate(nearest)


def _directions(decoder: Any, acts: FeatureActivations, name: str) -> Float64[np.ndarray, "d_sae d_model"]:
    """Checked rows of unit norm."""
    if decoder.ndim != 2 or len(decoder) != acts.d_sae:
        raise ValueError(f"expected {name} of shape ({acts.d_sae}, d_model), got {tuple(decoder.shape)}")
    return unit_rows(decoder)


def unit_rows(matrix: Float[Any, "n d"]) -> Float64[np.ndarray, "n d"]:
    """Rows of unit norm; a row of zeros stays one.

    Args:
        matrix: (n, d) NumPy array or torch tensor.
    """
    if hasattr(matrix, "detach"):
        matrix = matrix.detach().double().cpu().numpy()
    rows = np.asarray(matrix, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)
