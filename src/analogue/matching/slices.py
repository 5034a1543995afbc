"""Shares of the pairing for ranks: each walks a slice of the claiming features, and the slices concatenate."""

from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from analogue.features import FeatureActivations
from analogue.matching.choice import Engine, chosen_engine
from analogue.matching.partners import BestPartners, Direction, best_partners, check_arguments


def balanced_slices(
    claiming: FeatureActivations, other: FeatureActivations, n_slices: int
) -> list[Int64[np.ndarray, " n"]]:
    """Cut the claiming features into runs of about equal cost.

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
    if n_slices < 1:
        raise ValueError(f"expected n_slices >= 1, got {n_slices}")
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
    direction: Direction = "a_to_b",
    n_threads: int | None = None,
    engine: Engine = "auto",
    device: str | None = None,
) -> BestPartners:
    """One rank's share of `best_partners(acts_a, acts_b, k, direction)`.

    Args:
        acts_a: activations (n_tokens, d_sae_a), all of them on every rank.
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.
        rank: which share, in [0, n_ranks).
        n_ranks: number of shares.
        k: partners a feature.
        direction: "a_to_b" shares out A's features, "b_to_a" B's.
        n_threads: see `best_partners`.
        engine: see `best_partners`.
        device: see `best_partners`.

    Returns:
        Partners of the rank's slice: of `balanced_slices`, or of as many features as the others' with the dense
        engine, for which all cost the same. Those of ranks 0, 1, ... concatenated are what one process finds, bit for
        bit from the walk.

    Raises:
        ValueError: if `rank` is out of range, and as `best_partners`.
    """
    if not 0 <= rank < n_ranks:
        raise ValueError(f"expected rank in [0, {n_ranks}), got {rank}")
    if direction not in ("a_to_b", "b_to_a"):
        raise ValueError(f"expected direction 'a_to_b' or 'b_to_a', got {direction!r}")
    check_arguments(acts_a, acts_b, k, direction, n_threads)
    engine = chosen_engine(acts_a, acts_b, engine, device, n_threads)
    claiming, other = (acts_a, acts_b) if direction == "a_to_b" else (acts_b, acts_a)
    if engine == "dense":
        share = np.array_split(np.arange(claiming.d_sae), n_ranks)[rank]
    else:
        share = balanced_slices(claiming, other, n_ranks)[rank]
    subset_a, subset_b = (share, None) if direction == "a_to_b" else (None, share)
    return best_partners(acts_a, acts_b, k, direction, subset_a, subset_b, n_threads, engine, device)
