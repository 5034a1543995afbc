"""How well a feature can be matched by chance: the other side's activations in a randomly rotated basis."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from analogue.significance.draws import Progress, map_over_threads
from analogue.significance.result import SimilarityResult, against_null

if TYPE_CHECKING:  # activations take seconds to import: tables and figures, which need p-values only, do without
    from scipy.sparse import csr_array

    from analogue.features import FeatureActivations
    from analogue.matching import Standardised

# Directions per block: with 30,000 tokens, their projections take 250 MB.
_BLOCK = 1024
# The largest rotation that is drawn: its decomposition takes seconds. In more dimensions, independent random directions
# are nearly orthogonal.
_LARGEST_ROTATION = 4096
# Rotations up to this size are drawn side by side, on one thread each: several threads of one small decomposition wait
# for each other, on a busy machine for 16 times as long as it takes. Larger ones would need too much memory.
_SIDE_BY_SIDE = 2048
# A direction along which B's sum of squares is smaller than this, relative to that of all of B, has no variance.
_ROUNDING = 1e-12


class RotatedBaseline(NamedTuple):
    """The correlations of paired features, compared with those in rotated bases."""

    result: SimilarityResult
    """The pairs' mean correlation beside its mean in each rotated basis; without a p-value and a z."""
    baseline: Float64[np.ndarray, " n_pairs"]
    """Each feature's highest correlation in a rotated basis, averaged over rotations."""
    excess: Float64[np.ndarray, " n_pairs"]
    """The pair's correlation less the baseline."""


def correlations_against_rotations(
    correlation: Float64[np.ndarray, " n_pairs"],
    features: Int64[np.ndarray, " n_pairs"],
    acts: "FeatureActivations",
    other: "FeatureActivations",
    n: int,
    seed: int,
    progress: Progress | None = None,
) -> RotatedBaseline:
    """Compare the correlations of pairs with the highest in a randomly rotated basis of the other side.

    A rotation keeps the subspace that the other side represents, and replaces its preferred basis. A feature's
    correlation with its best partner, less its highest correlation in a rotated basis, is its *excess correlation*: it
    suggests that the two SAEs share the feature, and not only the subspace in which the feature lies. A rotated basis
    has as many directions as the other side has features, so that both maxima are taken over equally many correlations.

    The excess is a description, not a test. Activations along rotated directions are nearly Gaussian, and by chance the
    highest correlation of a sparse feature with many sparse features is larger than with equally many Gaussian ones, so
    the excess is positive even where nothing is shared. `analogue.significance.pair_evidence` tests pairs.

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
    from analogue.matching import Standardised

    a, b = Standardised.of(acts).take(features), other.to_scipy().astype(np.float64)
    d_b = b.shape[1]
    correlate = correlations_from_moments(a, b) if d_b <= _LARGEST_ROTATION else correlations_from_projections(a, b)

    def draw_one(i: int) -> Float64[np.ndarray, " n_features"]:
        highest = _highest(map(correlate, random_directions(d_b, d_b, [seed, i])), len(features))
        return np.where(np.isnan(a.mean_over_sd), np.nan, highest)

    draws = np.empty((n, len(features)))
    side_by_side = map_over_threads(draw_one, range(n), worth_threads=True)
    for i, drawn in enumerate(side_by_side if d_b <= _SIDE_BY_SIDE else map(draw_one, range(n))):
        draws[i] = drawn
        if progress is not None:
            progress(i + 1)
    baseline, score = draws.mean(axis=0), float(correlation.mean())
    result = against_null("mean_correlation", score, draws.mean(axis=1), len(features), seed, null="rotated")
    result = replace(result, z=None, p_value=None, p_value_published=None)
    return RotatedBaseline(result, baseline, correlation - baseline)


def _highest(blocks: Iterable[np.ndarray], n_features: int) -> Float64[np.ndarray, " n_features"]:
    """The highest correlation of each feature over blocks (n_features, n_block) of them; NaN where there is none."""
    found = np.full(n_features, -np.inf)
    for correlations in blocks:
        np.maximum(found, correlations.max(axis=1, initial=-np.inf), out=found)
    return np.where(np.isinf(found), np.nan, np.clip(found, -1.0, 1.0))


def correlations_from_moments(a: "Standardised", b: "csr_array") -> Callable[[np.ndarray], np.ndarray]:
    """Correlations (n_features, n_block) of A's features with B along directions (d_b, n_block).

    They come from B's covariance and A's with B, so that the tokens are read once for all rotations.
    """
    mean, products = np.asarray(b.mean(axis=0)).ravel(), (b.T @ b).toarray()
    # Relative to the products, not the covariances: where means are large, the latter are the rounding of the former.
    smallest = _ROUNDING * float(np.trace(products))
    gram = products - b.shape[0] * np.outer(mean, mean)
    cross = (a.columns.T @ b).toarray() - np.outer(np.asarray(a.columns.sum(axis=0)).ravel(), mean)

    def correlations(directions: np.ndarray) -> np.ndarray:
        squares = np.einsum("ij,ij->j", directions, gram @ directions)
        varies = squares > smallest
        return cross @ directions[:, varies] / np.sqrt(squares[varies])

    return correlations


def correlations_from_projections(a: "Standardised", b: "csr_array") -> Callable[[np.ndarray], np.ndarray]:
    """As `correlations_from_moments`, from the projected tokens: for B whose covariance would be too large."""
    rows = a.columns.T.tocsr()

    def correlations(directions: np.ndarray) -> np.ndarray:
        projected = b @ directions
        projected -= projected.mean(axis=0)
        norms = np.linalg.norm(projected, axis=0)
        # These columns sum to 0, so the means of A's columns need not be subtracted.
        return rows @ (projected[:, norms > 0] / norms[norms > 0])

    return correlations


def random_directions(d: int, n: int, seed: int | Sequence[int]) -> Iterator[Float64[np.ndarray, "d n_block"]]:
    """`n` random directions as columns, in blocks: those of as many uniformly random rotations as it takes.

    In more than 4096 dimensions they are drawn independently.
    """
    from scipy.stats import ortho_group

    generator = np.random.default_rng(seed)
    left = n
    while left > 0:
        rotates = d <= _LARGEST_ROTATION
        drawn = ortho_group.rvs(d, random_state=generator) if rotates else generator.standard_normal((d, _BLOCK))
        for start in range(0, min(left, drawn.shape[1]), _BLOCK):
            yield drawn[:, start : min(start + _BLOCK, left)]
        left -= drawn.shape[1]
