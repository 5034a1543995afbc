"""The ranks of `test_ranks`: each pairs and receives, and leaves what it got in a folder."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from analogue.comparison.ranks import activations_of_rank_0, best_partners_on_ranks
from analogue.features import FeatureActivations, StoredActivations
from analogue.matching import BestPartners
from tests.matching.test_best_partners import random_activations

DENSITIES = [0.05, 0.6]  # the walk's, and the dense engine's
CALLS = [("a_to_b", 1), ("b_to_a", 3), ("both", 2)]
N_RANKS = 2


def sides(density: float) -> list[FeatureActivations]:
    """Duplicates, constant features and features that never fire among them."""
    rng = np.random.default_rng([int(100 * density)])
    return [FeatureActivations.from_dense(random_activations(rng, 70, d, density, np.float32)) for d in (53, 38)]


def arrays_of(found: BestPartners | tuple[BestPartners, BestPartners]) -> list[np.ndarray]:
    """Indices and correlations, of each direction."""
    return list(found) if isinstance(found, BestPartners) else [array for each in found for array in each]


def run_rank(rank: int, folder: Path) -> None:
    """Pair, and receive rank 0's activations."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=N_RANKS)
    for density in DENSITIES:
        for direction, k in CALLS:
            found = best_partners_on_ranks(*sides(density), k, direction)
            np.savez(folder / f"{density} {direction} {rank}.npz", *arrays_of(found))
    acts = sides(DENSITIES[0])[0]
    acts.values.setflags(write=False)  # as a memory map of the store
    own = {"a": StoredActivations(acts, {"explained_variance": 0.5})} if rank == 0 else {}
    (stored,) = activations_of_rank_0(own).values()
    assert stored.facts == {"explained_variance": 0.5}
    received = stored.activations
    np.savez(folder / f"received {rank}.npz", received.indptr, received.indices, received.values, received.d_sae)
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.start_processes(run_rank, (Path(sys.argv[1]),), nprocs=N_RANKS, start_method="fork")
