"""SAE Match: pairing by weights, with the scale of each feature made one."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy.optimize import linear_sum_assignment

from analogue.errors import check_option
from analogue.features import FeatureActivations
from analogue.matching.pairs import FeaturePairs, as_pairs
from analogue.matching.partners import FindPartners, best_partners
from analogue.matching.subsets import SubsetCorrelations
from analogue.options import Direction


def sae_match(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    direction: str = Direction.a_to_b,
    find: FindPartners = best_partners,
    *,
    assignment: tuple[Int64[np.ndarray, " n_pairs"], Int64[np.ndarray, " n_pairs"]],
) -> FeaturePairs:
    """Pair features one-to-one by their weights, see `assign_weights`; activations only say how each pair correlates.

    For SAEs of one model, at one layer or at two, whose streams share a basis. Scores of decoder rows of pairs found
    this way do not show a common geometry: the pairs were chosen by it.

    Args:
        acts_a: activations (n_tokens, d_sae_a); only features that have variance are paired.
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        direction: whose order the pairs are in; which pairs there are does not depend on it.
        find: not used; every rule takes it.
        assignment: (n_pairs,) features of A, and of B, from `assign_weights`.

    Raises:
        ValueError: if the sides differ in n_tokens, or the direction is neither of the two.
    """
    check_option("direction", direction, Direction)
    correlations = SubsetCorrelations(acts_a, acts_b)
    feature_a, feature_b = assignment
    alive = np.isin(feature_a, correlations.live_a) & np.isin(feature_b, correlations.live_b)
    feature_a, feature_b = feature_a[alive], feature_b[alive]
    correlation = correlations.paired(feature_a, feature_b)
    return as_pairs(feature_a, feature_b, correlation, acts_a.n_active(), acts_b.n_active(), direction)


def assign_weights(
    a: Float64[np.ndarray, "d_sae_a n"], b: Float64[np.ndarray, "d_sae_b n"]
) -> tuple[Int64[np.ndarray, " n_pairs"], Int64[np.ndarray, " n_pairs"]]:
    """The one-to-one assignment of the least mean squared error between folded weights; of dead features, too.

    It is exact, and takes 8 d_sae_a d_sae_b bytes, and a time that grows with the third power of the width: some
    seconds for 4,096 features per side, some minutes for 16,384. Features that the wider side has in excess have no
    pair.

    Args:
        a: (d_sae_a, n) from `folded_weights`.
        b: (d_sae_b, n).

    Source:
        Balagansky, Maksimov and Gavrilov 2024, "Mechanistic Permutability: Match Features Across Layers", arXiv
        2410.07656.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected weights of one width, got {a.shape[1]} and {b.shape[1]}")
    errors = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    feature_a, feature_b = linear_sum_assignment(errors)
    return feature_a.astype(np.int64), feature_b.astype(np.int64)


def folded_weights(
    decoder: Float[Any, "d_sae d_model"],
    encoder: Float[Any, "d_sae d_model"],
    bias: Float[Any, " d_sae"] | None = None,
    threshold: Float[Any, " d_sae"] | None = None,
) -> Float64[np.ndarray, "d_sae 2*d_model+1"]:
    """Decoder row, encoder row and encoder bias of every feature, at a scale at which features can be compared.

    Encoder and bias divided by the feature's threshold and its decoder row multiplied by it: the threshold is then 1,
    and the SAE computes the same function. Where no threshold is above 0 (ReLU, TopK) the decoder row is made unit
    in the same way.

    Args:
        decoder: (d_sae, d_model) decoder rows.
        encoder: (d_sae, d_model) row i reads feature i.
        bias: (d_sae,) of the encoder; None for none.
        threshold: (d_sae,) of JumpReLU; None for none.

    Source:
        The folding of thresholds: section 3 of arXiv 2410.07656.
    """
    decoder, encoder = (np.asarray(each, dtype=np.float64) for each in (decoder, encoder))
    bias = np.zeros(len(decoder)) if bias is None else np.asarray(bias, dtype=np.float64)
    scale = np.zeros(len(decoder)) if threshold is None else np.asarray(threshold, dtype=np.float64)
    norms = np.linalg.norm(decoder, axis=1)
    scale = np.where(scale > 0, scale, 1 / np.where(norms > 0, norms, 1.0))[:, None]
    return np.hstack([decoder * scale, encoder / scale, bias[:, None] / scale])
