"""The best partners of every feature by activation correlation (paper, section 3, "Highest Activation Correlation").

The formula stands in `standardised`; the two engines that find its highest values in `walk` and `dense`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, overload

import numpy as np
import torch
from jaxtyping import Int64

from analogue.cores import usable_cores
from analogue.errors import check_minima, check_option
from analogue.features import FeatureActivations
from analogue.matching.pairs import BestPartners
from analogue.matching.standardised import Standardised
from analogue.options import Direction, Engine

Subset = Sequence[int] | Int64[np.ndarray, " n"]
FindPartners = Callable[..., Any]
"""A function of the arguments of `best_partners`, with its results."""

# A product of the walk costs as much as this many of the dense engine's. They cost the same where both sides' features
# fire on a fifth of the tokens; on a CUDA device where they do on 0.7 % (docs/performance.md: `python -m
# benchmarks.matching_density`).
WALK_PRODUCT_CPU, WALK_PRODUCT_CUDA = 25, 20_000


@overload
def best_partners(  # type: ignore[overload-overlap]
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = ...,
    *,
    direction: Literal["both"],
    subset_a: Subset | None = ...,
    subset_b: Subset | None = ...,
    n_threads: int | None = ...,
    engine: str = ...,
    device: str | None = ...,
) -> tuple[BestPartners, BestPartners]: ...


@overload
def best_partners(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = ...,
    direction: str = ...,
    subset_a: Subset | None = ...,
    subset_b: Subset | None = ...,
    n_threads: int | None = ...,
    engine: str = ...,
    device: str | None = ...,
) -> BestPartners: ...


def best_partners(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = 1,
    direction: str = Direction.a_to_b,
    subset_a: Subset | None = None,
    subset_b: Subset | None = None,
    n_threads: int | None = None,
    engine: str = Engine.auto,
    device: str | None = None,
) -> BestPartners | tuple[BestPartners, BestPartners]:
    """Find the k features of the other side that correlate most with each feature.

    Exact Pearson correlation over all tokens (silent ones count as zeros) from float64 moments. A partner may be one
    that never fires together with the feature: such a correlation is negative, and ranked like any other.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        k: partners per feature, at least 1.
        direction: "a_to_b" finds partners in B for features of A, "b_to_a" the reverse; "both" returns both results, in
            less time than two calls.
        subset_a: features of A to consider, on either end of a pair; all if None.
        subset_b: likewise for B.
        n_threads: threads to compute on, which do not change the result; by default the cores this process may use.
        engine: "walk" takes sum over tokens of L0_a * L0_b products on the CPU, and holds one row of the correlation
            matrix per thread. "dense" takes n_tokens * d_sae_a * d_sae_b faster ones on any torch device, and holds a
            tile of the matrix. "auto" chooses, see `chosen_engine`. The results are the same to the last bit.
        device: where the dense engine multiplies; if None the current CUDA device, or the CPU if there is none.

    Returns:
        (n, k) indices and correlations, with n the claiming side's d_sae, or the length of its subset and in its
        order. Highest first, to 12 decimals, so that what differs by rounding alone ties; ties to the lowest index. A
        feature without variance (it never fires, or is constant) has index -1 and NaN, and is nobody's partner; so
        have places beyond the number of candidates.

    Raises:
        ValueError: if the sides differ in n_tokens, a subset is not of integers in range, or k, n_threads, direction or
            engine is out of range.

    Example:
        >>> acts = FeatureActivations.from_dense(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 0.0, 4.0]]))
        >>> best_partners(acts, acts, direction="a_to_b", subset_b=[1, 2]).indices.ravel().tolist()
        [2, 1, 2]
    """
    _check_arguments(acts_a, acts_b, k, direction, n_threads)
    subset_a, subset_b = (
        _as_indices(subset_a, acts_a.d_sae, "subset_a"),
        _as_indices(subset_b, acts_b.d_sae, "subset_b"),
    )
    find = partial(_find, chosen_engine(acts_a, acts_b, engine, device), device, n_threads or usable_cores(), k)
    a, b = Standardised.of(acts_a, subset_a), Standardised.of(acts_b, subset_b)
    if direction == Direction.b_to_a:
        return find(b, a, both=False)[0].take(subset_b)
    forward, reverse = find(a, b, both=direction == "both")
    return forward.take(subset_a) if reverse is None else (forward.take(subset_a), reverse.take(subset_b))


def _find(
    engine: Engine, device: str | None, n_threads: int, k: int, own: Standardised, other: Standardised, both: bool
) -> tuple[BestPartners, BestPartners | None]:
    if engine == Engine.walk:  # imported here, because numba takes a while to load
        from analogue.matching.walk import walk

        return walk(own, other, k, both, n_threads)
    from analogue.matching.dense import multiply

    return multiply(own, other, k, both, n_threads, torch.device(device or default_device()))


def default_device() -> str:
    """The current CUDA device, or the CPU if there is none."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen_engine(acts_a: FeatureActivations, acts_b: FeatureActivations, engine: str, device: str | None) -> Engine:
    """What "auto" stands for: the dense engine where more than a 25th of all products are not zero, else the walk.

    On a CUDA device the share is a 20,000th. It is taken of the activations of both whole sides, so that ranks which
    pair slices of them choose the same engine.

    Raises:
        ValueError: the engine is none of the three.
    """
    check_option("engine", engine, Engine)
    if engine != Engine.auto:
        return Engine(engine)
    on_cpu = torch.device(device or default_device()).type == "cpu"
    walk_costs = share_of_products(acts_a, acts_b) * (WALK_PRODUCT_CPU if on_cpu else WALK_PRODUCT_CUDA)
    return Engine.dense if walk_costs > 1 else Engine.walk


def share_of_products(acts_a: FeatureActivations, acts_b: FeatureActivations) -> float:
    """Of the products a[t, i] * b[t, j] of features that ever fire, over all tokens t, the share that is not zero."""
    n_live = [float(np.count_nonzero(acts.n_active())) for acts in (acts_a, acts_b)]
    n_products = float(np.diff(acts_a.indptr) @ np.diff(acts_b.indptr))
    return n_products / (n_live[0] * n_live[1] * acts_a.n_tokens) if n_products else 0.0


def balanced_slices(
    claiming: FeatureActivations, other: FeatureActivations, n_slices: int
) -> list[Int64[np.ndarray, " n"]]:
    """Cut the claiming features into runs that cost the walk about the same.

    A feature costs the number of entries it meets: the sum, over the tokens it fires on, of the other side's active
    features. Every rank gets the same slices from the same activations.

    Args:
        claiming: activations (n_tokens, d_sae) of the features to share out.
        other: activations of the side their partners are in, on the same tokens.
        n_slices: number of runs.

    Returns:
        n_slices arrays of consecutive feature indices, in order, every feature in one of them; some may be empty.

    Raises:
        ValueError: if the sides differ in n_tokens, or n_slices is below 1.
    """
    if claiming.n_tokens != other.n_tokens:
        raise ValueError(f"expected both sides on the same tokens, got {claiming.n_tokens} and {other.n_tokens}")
    check_minima({"n_slices": (n_slices, 1)})
    met = np.repeat(np.diff(other.indptr), np.diff(claiming.indptr))
    cost = np.cumsum(np.bincount(claiming.indices, weights=met, minlength=claiming.d_sae) + 1)
    bounds = np.linspace(0, cost[-1] if len(cost) else 0, n_slices + 1)[1:-1]
    cuts = np.searchsorted(cost, bounds, side="right")
    return [np.arange(start, stop) for start, stop in pairwise([0, *cuts.tolist(), claiming.d_sae])]


def best_partners_of_slice(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    rank: int,
    n_ranks: int,
    k: int = 1,
    direction: str = Direction.a_to_b,
    n_threads: int | None = None,
    engine: str = Engine.auto,
    device: str | None = None,
) -> BestPartners:
    """One rank's share of `best_partners(acts_a, acts_b, k, direction)`.

    Args:
        acts_a: activations (n_tokens, d_sae_a), all of them on every rank.
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        rank: which share, in [0, n_ranks).
        n_ranks: number of shares.
        k: partners per feature.
        direction: "a_to_b" shares out A's features, "b_to_a" B's.
        n_threads: threads of this rank.
        engine: as in `best_partners`.
        device: as in `best_partners`, of this rank.

    Returns:
        Partners of the rank's slice: of `balanced_slices`, or of as many features as the others' with the dense
        engine, to which all cost the same. Those of ranks 0, 1, ... concatenated are what one process finds, bit for
        bit.

    Raises:
        ValueError: if `rank` is out of range, and as `best_partners`.
    """
    if not 0 <= rank < n_ranks:
        raise ValueError(f"expected rank in [0, {n_ranks}), got {rank}")
    check_option("direction", direction, Direction)
    _check_arguments(acts_a, acts_b, k, direction, n_threads)
    engine = chosen_engine(acts_a, acts_b, engine, device)
    a_claims = direction == Direction.a_to_b
    claiming, other = (acts_a, acts_b) if a_claims else (acts_b, acts_a)
    if engine == Engine.dense:
        share = np.array_split(np.arange(claiming.d_sae), n_ranks)[rank]
    else:
        share = balanced_slices(claiming, other, n_ranks)[rank]
    subsets = {"subset_a" if a_claims else "subset_b": share}
    return best_partners(acts_a, acts_b, k, direction, **subsets, n_threads=n_threads, engine=engine, device=device)


def _check_arguments(
    acts_a: FeatureActivations, acts_b: FeatureActivations, k: int, direction: str, n_threads: int | None
) -> None:
    if acts_a.n_tokens != acts_b.n_tokens:
        raise ValueError(f"expected both sides on the same tokens, got {acts_a.n_tokens} and {acts_b.n_tokens}")
    check_minima({"k": (k, 1), "n_threads": (1 if n_threads is None else n_threads, 1)})
    check_option("direction", direction, [*Direction, "both"])


def _as_indices(subset: Subset | None, d_sae: int, name: str) -> Int64[np.ndarray, " n"] | None:
    """Check a subset of d_sae features."""
    if subset is None:
        return None
    indices = np.asarray(subset)
    if indices.ndim != 1 or (indices.size and not np.issubdtype(indices.dtype, np.integer)):
        raise ValueError(f"expected {name} to be 1-D feature indices, got {indices.ndim}-D of {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() >= d_sae):
        raise ValueError(f"expected {name} in [0, {d_sae}), got {indices.min()} to {indices.max()}")
    return indices.astype(np.int64)
