"""Best partners, found by all ranks together."""

from collections.abc import Sized
from typing import Any

import torch.distributed as dist

from analogue.features import FeatureActivations
from analogue.matching import best_partners, best_partners_of_slice, concatenate_partners


def best_partners_on_ranks(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = 1,
    direction: str = "a_to_b",
    subset_a: Sized | None = None,
    subset_b: Sized | None = None,
) -> Any:
    """`best_partners`, each rank correlating a slice of the claiming features; every rank gets the whole result.

    All ranks must call it, with all activations. What is asked of a part of the features only (later rounds of a
    greedy pairing) every rank finds for itself: it is small.
    """
    n_ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if n_ranks == 1 or _is_part(subset_a, acts_a) or _is_part(subset_b, acts_b):
        return best_partners(acts_a, acts_b, k, direction, subset_a=subset_a, subset_b=subset_b)  # type: ignore
    if direction == "both":
        return tuple(best_partners_on_ranks(acts_a, acts_b, k, each) for each in ("a_to_b", "b_to_a"))
    shares: list[Any] = [None] * n_ranks
    share = best_partners_of_slice(acts_a, acts_b, dist.get_rank(), n_ranks, k, direction)  # type: ignore[arg-type]
    dist.all_gather_object(shares, share)
    return concatenate_partners(shares)


def _is_part(subset: Sized | None, acts: FeatureActivations) -> bool:
    return subset is not None and len(subset) < acts.d_sae
