"""How well a feature can be matched by chance: the other side's activations in a randomly rotated basis."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from analogue.features import FeatureActivations
from analogue.matching import Standardised
from analogue.significance.result import SimilarityResult, against_null
from analogue.significance.shuffle import Progress

# Directions looked along at a time: with 30,000 tokens, 250 MB.
_BLOCK = 1024
# The largest rotation that is drawn whole: a decomposition of seconds. In more dimensions random directions are as good
# as orthogonal.
_LARGEST_ROTATION = 4096

Dense = Float[Any, "n_tokens d_b"]


class RotatedBaseline(NamedTuple):
    """The correlations of paired features beside what a rotated basis gives them."""

    result: SimilarityResult
    """The pairs' mean correlation against its mean in each rotated basis."""
    baseline: Float64[np.ndarray, " n_pairs"]
    """Each feature's highest correlation in a rotated basis, averaged over rotations."""
    excess: Float64[np.ndarray, " n_pairs"]
    """The pair's correlation less the baseline."""


def correlations_against_rotations(
    correlation: Float64[np.ndarray, " n_pairs"],
    features: Int64[np.ndarray, " n_pairs"],
    acts: FeatureActivations,
    other: FeatureActivations | Dense,
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> RotatedBaseline:
    """Test the mean correlation of pairs against a randomly rotated basis of the other side.

    Args:
        correlation: (n_pairs,) of the pairs, each the highest of its feature, as `max_correlation` makes them.
        features: (n_pairs,) the claiming feature of each pair.
        acts: activations (n_tokens, d_sae) of the claiming side.
        other: of the other side; see `rotated_correlation`.
        n: number of rotations, at least 1.
        seed: of the rotations.
        progress: called with the number of rotations done.

    Raises:
        ValueError: no pairs, n below 1, or see `rotated_correlation`.
    """
    if n < 1 or len(features) == 0:
        raise ValueError(f"expected at least 1 rotation and 1 pair, got {n} and {len(features)}")
    draws = np.empty((n, len(features)))
    for i in range(n):
        draws[i] = rotated_correlation(acts, other, [seed, i])[features]
        if progress is not None:
            progress(i + 1)
    baseline, score = draws.mean(axis=0), float(correlation.mean())
    result = against_null("mean_correlation", score, draws.mean(axis=1), len(features), seed, null="rotated")
    return RotatedBaseline(result, baseline, correlation - baseline)


def rotated_correlation(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations | Dense,
    seed: int | Sequence[int],
    n_directions: int | None = None,
) -> Float64[np.ndarray, " d_sae_a"]:
    """Each feature's highest correlation with the activations of B in a randomly rotated basis.

    A rotation keeps what B represents and takes away its preferred basis. What a feature's best partner in B
    correlates beyond this baseline is its *excess correlation*: evidence that the two SAEs share the feature, and not
    only the subspace in which it lies.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens; or, dense, the residual stream (n_tokens, d_model)
            or raw neurons.
        seed: of the rotation.
        n_directions: how many directions of the rotated basis to look along, by default as many as B has, so that
            both maxima are of equally many correlations.

    Returns:
        (d_sae_a,) correlations; NaN for features of A without variance, and for all where B has none.

    Raises:
        ValueError: if the sides differ in n_tokens, or n_directions is below 1.

    Source:
        Gurnee et al. 2024, "Universal Neurons in GPT2 Language Models", arXiv 2401.12181, section 3.
    """
    b = acts_b.to_scipy().astype(np.float64) if isinstance(acts_b, FeatureActivations) else _as_array(acts_b)
    if b.shape[0] != acts_a.n_tokens:
        raise ValueError(f"expected both sides on the same tokens, got {acts_a.n_tokens} and {b.shape[0]}")
    n_directions = b.shape[1] if n_directions is None else n_directions
    if n_directions < 1:
        raise ValueError(f"expected at least 1 direction, got {n_directions}")
    a = Standardised.of(acts_a)
    columns, highest = a.columns.T.tocsr(), np.full(acts_a.d_sae, -np.inf)
    for directions in random_directions(b.shape[1], n_directions, seed):
        projected = b @ directions
        projected -= projected.mean(axis=0)
        norms = np.linalg.norm(projected, axis=0)
        projected = projected[:, norms > 0] / norms[norms > 0]
        # These columns sum to 0, so the means of A's need not be taken off.
        np.maximum(highest, (columns @ projected).max(axis=1, initial=-np.inf), out=highest)
    undefined = np.isnan(a.mean_over_sd) | np.isinf(highest)
    return np.where(undefined, np.nan, np.clip(highest, -1.0, 1.0))


def random_directions(d: int, n: int, seed: int | Sequence[int]) -> Iterator[Float64[np.ndarray, "d n_block"]]:
    """n random directions as columns, in blocks: those of a uniformly random rotation, as long as it has any left.

    In more than 4096 dimensions they are drawn independently.
    """
    generator = np.random.default_rng(seed)
    left = n
    while left > 0:
        rotation = _rotation(d, generator) if d <= _LARGEST_ROTATION else generator.standard_normal((d, _BLOCK))
        for start in range(0, min(left, rotation.shape[1]), _BLOCK):
            yield rotation[:, start : min(start + _BLOCK, left)]
        left -= rotation.shape[1]


def _rotation(d: int, generator: np.random.Generator) -> Float64[np.ndarray, "d d"]:
    """A uniformly random orthogonal matrix (Mezzadri 2007, arXiv math-ph/0609050)."""
    q, r = np.linalg.qr(generator.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def _as_array(acts: Any) -> Float64[np.ndarray, "n_tokens d_b"]:
    if hasattr(acts, "detach"):
        acts = acts.detach().double().cpu().numpy()
    return np.asarray(acts, dtype=np.float64)
