"""What the ranks of one comparison do together, and what rank 0 does for all of them; arrays travel as tensors."""

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from analogue.features import FeatureActivations, StoredActivations
from analogue.matching import BestPartners, best_partners, best_partners_of_slice


def best_partners_on_ranks(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int = 1,
    direction: str = "a_to_b",
    subset_a: Sized | None = None,
    subset_b: Sized | None = None,
    device: str | None = None,
) -> Any:
    """`best_partners`, each rank correlating a slice of the claiming features; every rank gets the whole result.

    All ranks must call it, with all activations. A call for a part of the features only (later rounds of a greedy
    pairing) is small, and every rank computes it alone.
    """
    n_ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if n_ranks == 1 or _is_part(subset_a, acts_a) or _is_part(subset_b, acts_b):
        return best_partners(acts_a, acts_b, k, direction, subset_a, subset_b, device=device)  # type: ignore
    if direction == "both":
        both = ("a_to_b", "b_to_a")
        return tuple(best_partners_on_ranks(acts_a, acts_b, k, each, device=device) for each in both)
    share = best_partners_of_slice(acts_a, acts_b, dist.get_rank(), n_ranks, k, direction, device=device)
    return BestPartners(*map(_concatenated, share))


def _concatenated(rows: np.ndarray) -> np.ndarray:
    """The rows of all ranks, one rank's after the other's; ranks may have different numbers of them, or none."""
    own = _as_tensor(rows)
    n_rows = [torch.tensor([0], device=own.device) for _ in range(dist.get_world_size())]
    dist.all_gather(n_rows, torch.tensor([len(own)], device=own.device))
    padded = own.new_zeros(int(max(n_rows)), *own.shape[1:])  # collectives need equal shapes
    padded[: len(own)] = own
    found = [torch.empty_like(padded) for _ in n_rows]
    if padded.numel():  # no rank has a row otherwise
        dist.all_gather(found, padded)
    return torch.cat([each[:n] for each, n in zip(found, n_rows, strict=True)]).cpu().numpy()


def activations_of_rank_0(own: dict[str, StoredActivations]) -> dict[str, StoredActivations]:
    """Rank 0's activations of each side; all ranks must call it, and what the others pass is ignored."""
    described = [{label: (stored.activations.d_sae, stored.facts) for label, stored in own.items()}]
    dist.broadcast_object_list(described, src=0, device=_device())
    received = {}
    for label, (d_sae, facts) in described[0].items():
        acts = own[label].activations if dist.get_rank() == 0 else None
        indptr, indices, values = broadcast_arrays([acts.indptr, acts.indices, acts.values] if acts else [])
        received[label] = StoredActivations(acts or FeatureActivations(indptr, indices, values, d_sae), facts)
    return received


def broadcast_arrays(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rank 0's arrays on every rank: their shapes and dtypes first, so that room is there when they come."""
    heads = [[(array.shape, array.dtype) for array in arrays]]
    dist.broadcast_object_list(heads, src=0, device=_device())
    received = []
    for place, head in enumerate(heads[0]):
        tensor = _as_tensor(arrays[place] if dist.get_rank() == 0 else np.empty(*head))
        dist.broadcast(tensor, src=0)
        received.append(tensor.cpu().numpy())
    return received


def _is_part(subset: Sized | None, acts: FeatureActivations) -> bool:
    return subset is not None and len(subset) < acts.d_sae


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    """On the device that the ranks' backend reaches; a read-only memory map is copied, for a tensor may be written."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(_device())


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
