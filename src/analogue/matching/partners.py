"""The best partners of every feature by activation correlation (paper, section 3, "Highest Activation Correlation")."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
from jaxtyping import Float64, Int64

from analogue.cores import usable_cores
from analogue.features import FeatureActivations
from analogue.matching.choice import Engine, chosen_engine, default_device
from analogue.matching.operands import Operand, prepare

if TYPE_CHECKING:
    from analogue.matching.walk import Ranking

Direction = Literal["a_to_b", "b_to_a"]
Subset = Sequence[int] | Int64[np.ndarray, " n"]
FindPartners = Callable[..., Any]
"""A function of the arguments of `best_partners`, with its results."""


class BestPartners(NamedTuple):
    """The k best partners of n features, best first."""

    indices: Int64[np.ndarray, "n k"]
    """Features of the other side, in its full numbering; -1 where there is none."""
    correlations: Float64[np.ndarray, "n k"]
    """Pearson correlation in [-1, 1]; NaN where there is no partner."""

    def take(self, features: Int64[np.ndarray, " n"] | None) -> "BestPartners":
        """The rows of these features; all if None."""
        return self if features is None else BestPartners(self.indices[features], self.correlations[features])


@overload
def best_partners(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = ...,
    direction: Direction = ...,
    subset_a: Subset | None = ...,
    subset_b: Subset | None = ...,
    n_threads: int | None = ...,
    engine: Engine = ...,
    device: str | None = ...,
) -> BestPartners: ...


@overload
def best_partners(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = ...,
    *,
    direction: Literal["both"],
    subset_a: Subset | None = ...,
    subset_b: Subset | None = ...,
    n_threads: int | None = ...,
    engine: Engine = ...,
    device: str | None = ...,
) -> tuple[BestPartners, BestPartners]: ...


def best_partners(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = 1,
    direction: Literal["a_to_b", "b_to_a", "both"] = "a_to_b",
    subset_a: Subset | None = None,
    subset_b: Subset | None = None,
    n_threads: int | None = None,
    engine: Engine = "auto",
    device: str | None = None,
) -> BestPartners | tuple[BestPartners, BestPartners]:
    """Find the k features of the other side that correlate most with each feature.

    Exact Pearson correlation over all tokens (silent ones count as zeros) from float64 moments. A partner may be one
    that never fires together with the feature: such a correlation is negative, and ranked like any other. Costs the
    sum over tokens of L0_a * L0_b and holds one row of the correlation matrix a thread ("walk"), or nnz_a * d_sae_b
    and a tile of it at a time ("tiles"), or n_tokens * d_sae_a * d_sae_b quick ones, with a tile again ("dense").

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        k: partners a feature, at least 1.
        direction: "a_to_b" finds partners in B for features of A, "b_to_a" the reverse; "both" returns the pair of
            them, for less than two calls.
        subset_a: features of A to consider, on either end of a pair; all if None.
        subset_b: likewise for B.
        n_threads: of the walk; defaults to the cores this process may use. The answer does not depend on it.
        engine: "walk" is compiled for the CPU, "tiles" and "dense" run on any torch device; they agree to 1e-11.
            "auto" takes the dense one where more than a 25th of all products of two activations are not zero (both
            sides' features fire on a fifth of the tokens: pre-activations), on a CUDA device (the current one, or that
            of `device`) more than a 20,000th (0.7 % of the tokens); else the walk, which 8 cores take as fast as a GPU
            its tiles, or the tiles where there is a GPU and fewer cores.
        device: where tiles are computed; the current CUDA device, or the CPU without one, if None.

    Returns:
        (n, k) indices and correlations, n being the claiming side's d_sae, or the length of its subset and in its
        order. Highest first, to 12 decimals, so that what differs by rounding alone ties; ties to the lowest index. A
        feature without variance (it never fires, or is constant) has index -1 and NaN, and is nobody's partner; so
        have places beyond the number of candidates.

    Raises:
        ValueError: if the sides differ in n_tokens, a subset is not of integers in range, or k, n_threads, direction or
            engine is out of range; or the dense engine is asked for, and there is no token.

    Example:
        >>> acts = FeatureActivations.from_dense(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 0.0, 4.0]]))
        >>> best_partners(acts, acts, direction="a_to_b", subset_b=[1, 2]).indices.ravel().tolist()
        [2, 1, 2]
    """
    check_arguments(acts_a, acts_b, k, direction, n_threads)
    subset_a, subset_b = as_indices(subset_a, acts_a.d_sae, "subset_a"), as_indices(subset_b, acts_b.d_sae, "subset_b")
    engine = chosen_engine(acts_a, acts_b, engine, device, n_threads)
    if engine == "dense":
        from analogue.matching.dense.filled import best_partners_filled

        return best_partners_filled(acts_a, acts_b, k, direction, subset_a, subset_b, device or default_device())
    one_way, both_ways = _rankings(engine, device, n_threads)
    a, b = prepare(acts_a, subset_a), prepare(acts_b, subset_b)
    if direction == "a_to_b":
        return _in_full_numbering(one_way(a, b, k), a, acts_a.d_sae).take(subset_a)
    if direction == "b_to_a":
        return _in_full_numbering(one_way(b, a, k), b, acts_b.d_sae).take(subset_b)
    forward, reverse = both_ways(a, b, k)
    return (
        _in_full_numbering(forward, a, acts_a.d_sae).take(subset_a),
        _in_full_numbering(reverse, b, acts_b.d_sae).take(subset_b),
    )


def _rankings(engine: Engine, device: str | None, n_threads: int | None) -> tuple[Callable, Callable]:
    """The engine's two functions of (own, other, k): one ranks own's partners, the other those of both."""
    if engine == "tiles":
        from analogue.matching.device import rank_both_in_tiles, rank_partners_in_tiles

        device = device or default_device()
        return partial(rank_partners_in_tiles, device=device), partial(rank_both_in_tiles, device=device)
    from analogue.matching.engine import rank_both, rank_partners

    n_threads = n_threads or usable_cores()
    return partial(rank_partners, n_threads=n_threads), partial(rank_both, n_threads=n_threads)


def _in_full_numbering(ranking: "Ranking", own: Operand, d_sae: int) -> BestPartners:
    """Spread the rankings of labels over all features."""
    k = ranking.partners.shape[1]
    indices, correlations = np.full((d_sae, k), -1, dtype=np.int64), np.full((d_sae, k), np.nan)
    found = np.isfinite(ranking.correlations)
    indices[own.features] = np.where(found, ranking.partners, -1)
    correlations[own.features] = np.where(found, ranking.correlations, np.nan)
    return BestPartners(indices, correlations)


def check_arguments(
    acts_a: FeatureActivations, acts_b: FeatureActivations, k: int, direction: str, n_threads: int | None
) -> None:
    """Raise a ValueError where `best_partners` says so of these arguments."""
    if acts_a.n_tokens != acts_b.n_tokens:
        raise ValueError(f"expected both sides on the same tokens, got {acts_a.n_tokens} and {acts_b.n_tokens}")
    if k < 1:
        raise ValueError(f"expected k >= 1, got {k}")
    if direction not in ("a_to_b", "b_to_a", "both"):
        raise ValueError(f"expected direction 'a_to_b', 'b_to_a' or 'both', got {direction!r}")
    if n_threads is not None and n_threads < 1:
        raise ValueError(f"expected n_threads >= 1, got {n_threads}")


def as_indices(subset: Subset | None, d_sae: int, name: str) -> Int64[np.ndarray, " n"] | None:
    """Check a subset of d_sae features."""
    if subset is None:
        return None
    indices = np.asarray(subset)
    if indices.ndim != 1 or (indices.size and not np.issubdtype(indices.dtype, np.integer)):
        raise ValueError(f"expected {name} to be 1-D feature indices, got {indices.ndim}-D of {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() >= d_sae):
        raise ValueError(f"expected {name} in [0, {d_sae}), got {indices.min()} to {indices.max()}")
    return indices.astype(np.int64)
