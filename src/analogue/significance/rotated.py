"""How well a feature can be matched by chance: the other side's activations in a randomly rotated basis."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array

from analogue.features import FeatureActivations
from analogue.matching import Standardised
from analogue.significance.result import SimilarityResult, against_null
from analogue.significance.shuffle import Progress
from analogue.significance.threads import map_over_threads

# Directions looked along at a time: with 30,000 tokens, 250 MB.
_BLOCK = 1024
# The largest rotation that is drawn whole: a decomposition of seconds. In more dimensions random directions are as good
# as orthogonal.
_LARGEST_ROTATION = 4096
# Rotations up to here are drawn side by side, on one thread each: several threads of one small decomposition wait for
# each other, on a machine with other work for 16 times as long as it takes. Larger ones would need too much memory.
_SIDE_BY_SIDE = 2048
# Of B's summed squares, what a direction may have by rounding alone.
_ROUNDING = 1e-12


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
    other: FeatureActivations,
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> RotatedBaseline:
    """Test the mean correlation of pairs against a randomly rotated basis of the other side.

    A rotation keeps what the other side represents and takes away its preferred basis. What a feature's best partner
    correlates beyond its highest correlation there is its *excess correlation*: evidence that the two SAEs share the
    feature, and not only the subspace in which it lies. As many directions are looked along as the other side has
    features, so that both maxima are of equally many correlations.

    Args:
        correlation: (n_pairs,) of the pairs, each the highest of its feature, as `max_correlation` makes them.
        features: (n_pairs,) the claiming feature of each pair.
        acts: activations (n_tokens, d_sae) of the claiming side.
        other: activations (n_tokens, d_sae_b) of the other side, on the same tokens.
        n: number of rotations, at least 1.
        seed: of the rotations.
        progress: called with the number of rotations done.

    Raises:
        ValueError: no pairs, n below 1, or the sides differ in n_tokens.

    Source:
        Gurnee et al. 2024, "Universal Neurons in GPT2 Language Models", arXiv 2401.12181, section 3.
    """
    if n < 1 or len(features) == 0:
        raise ValueError(f"expected at least 1 rotation and 1 pair, got {n} and {len(features)}")
    if acts.n_tokens != other.n_tokens:
        raise ValueError(f"expected both sides on the same tokens, got {acts.n_tokens} and {other.n_tokens}")
    b = other.to_scipy().astype(np.float64)
    highest = _highest_along(Standardised.of(acts).take(features), b)
    d_b = b.shape[1]

    def draw_one(i: int) -> Float64[np.ndarray, " n_features"]:
        return highest(random_directions(d_b, d_b, [seed, i]))

    draws = np.empty((n, len(features)))
    side_by_side = map_over_threads(draw_one, range(n), worth_threads=True)
    for i, drawn in enumerate(side_by_side if d_b <= _SIDE_BY_SIDE else map(draw_one, range(n))):
        draws[i] = drawn
        if progress is not None:
            progress(i + 1)
    baseline, score = draws.mean(axis=0), float(correlation.mean())
    result = against_null("mean_correlation", score, draws.mean(axis=1), len(features), seed, null="rotated")
    return RotatedBaseline(result, baseline, correlation - baseline)


def _highest_along(
    a: Standardised, b: csr_array
) -> Callable[[Iterable[np.ndarray]], Float64[np.ndarray, " n_features"]]:
    """Each feature's highest correlation with b (n_tokens, d_b) along blocks of directions."""
    correlations = _from_moments(a, b) if b.shape[1] <= _LARGEST_ROTATION else _from_projections(a, b)

    def highest(blocks: Iterable[np.ndarray]) -> Float64[np.ndarray, " n_features"]:
        found = np.full(a.columns.shape[1], -np.inf)
        for directions in blocks:
            np.maximum(found, correlations(directions).max(axis=1, initial=-np.inf), out=found)
        undefined = np.isnan(a.mean_over_sd) | np.isinf(found)
        return np.where(undefined, np.nan, np.clip(found, -1.0, 1.0))

    return highest


def _from_moments(a: Standardised, b: csr_array) -> Callable[[np.ndarray], np.ndarray]:
    """Correlations along directions from B's covariance and A's with B: the tokens are read once for all rotations."""
    mean, products = np.asarray(b.mean(axis=0)).ravel(), (b.T @ b).toarray()
    # Beside the products, not the covariances: where means are large, these are the rounding of those.
    smallest = _ROUNDING * float(np.trace(products))
    gram = products - b.shape[0] * np.outer(mean, mean)
    cross = (a.columns.T @ b).toarray() - np.outer(np.asarray(a.columns.sum(axis=0)).ravel(), mean)

    def correlations(directions: np.ndarray) -> np.ndarray:
        squares = np.einsum("ij,ij->j", directions, gram @ directions)
        varies = squares > smallest
        return cross @ directions[:, varies] / np.sqrt(squares[varies])

    return correlations


def _from_projections(a: Standardised, b: csr_array) -> Callable[[np.ndarray], np.ndarray]:
    """Correlations along directions from the projected tokens: B's covariance would be too large."""
    rows = a.columns.T.tocsr()

    def correlations(directions: np.ndarray) -> np.ndarray:
        projected = b @ directions
        projected -= projected.mean(axis=0)
        norms = np.linalg.norm(projected, axis=0)
        # These columns sum to 0, so the means of A's need not be taken off.
        return rows @ (projected[:, norms > 0] / norms[norms > 0])

    return correlations


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
