"""The ranks of `test_dense_ranks`: each answers every case from its share of the tokens, and leaves it in a folder."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from analogue.matching import TokenChunks, best_partners_dense
from analogue.matching.dense.ranks import Ranks
from tests.matching.test_dense import independent_activations, related_activations


def crowded_activations(rng: np.random.Generator, n: int, d_a: int, d_b: int) -> list[np.ndarray]:
    """Far more equal partners, on either side, than a rounded tile may list."""
    a, b = independent_activations(rng, n, d_a, d_b)
    a[:, 5:] = a[:, [1]]
    b[:, 100:] = a[:, [1]] * 0.5
    return [a, b]


CASES = [
    # tokens, features of A and of B, draw, k, further arguments
    (101, 53, 38, related_activations, 1, {}),
    (101, 53, 38, related_activations, 3, {"precision": "bf16"}),
    (101, 53, 38, related_activations, 3, {"precision": "bf16", "tile_bytes": 9000}),
    (100, 30, 90, independent_activations, 2, {"precision": "bf16"}),
    (100, 30, 90, independent_activations, 2, {"precision": "float64", "tile_bytes": 1}),
    (50, 45, 400, crowded_activations, 4, {"precision": "bf16"}),
    (40, 7, 5, related_activations, 9, {"subset_a": [6, 0, 3, 3], "subset_b": [4, 1]}),
    (2, 6, 1, related_activations, 2, {}),
    (1, 3, 4, related_activations, 1, {}),
    (3, 1, 6, independent_activations, 7, {}),
    (60, 12, 200, related_activations, 4, {"subset_b": []}),
]
N_RANKS = [1, 2, 3]
SHARES = ["even", "uneven", "all on the last"]


def sides(case: int) -> list[np.ndarray]:
    """A case's float32 activations of both sides, whole."""
    n, d_a, d_b, draw, _, _ = CASES[case]
    return [side.astype(np.float32) for side in draw(np.random.default_rng([case, n]), n, d_a, d_b)]


def bounds(n: int, n_ranks: int, share: str) -> np.ndarray:
    """Where each rank's tokens start, and the last one's end; some ranks may have none."""
    if share == "all on the last":
        return np.array([0] * n_ranks + [n])
    places = np.linspace(0, 1, n_ranks + 1) ** (1 if share == "even" else 2)
    return np.round(places * n).astype(int)


def answers(case: int, chunks: object, group: object = None) -> list[np.ndarray]:
    """Indices and correlations both ways, then one way each."""
    *_, k, arguments = CASES[case]
    forward, reverse = best_partners_dense(chunks, k, direction="both", group=group, **arguments)
    one_way = best_partners_dense(chunks, k, group=group, **arguments)
    back = best_partners_dense(chunks, k, direction="b_to_a", group=group, **arguments)
    return [array for found in (forward, reverse, one_way, back) for array in found]


def share_of(case: int, share: str, rank: int, n_ranks: int) -> object:
    """One rank's chunks: no chunk at all where it has no token."""
    start, stop = bounds(CASES[case][0], n_ranks, share)[rank : rank + 2]
    return TokenChunks(*(side[start:stop] for side in sides(case)), size=17)


def error_of(chunks: object, **arguments: object) -> str:
    """What a call complains of."""
    try:
        best_partners_dense(chunks, group=dist.group.WORLD, **arguments)
    except ValueError as error:
        return str(error)
    return "nothing"


def errors(rank: int, n_ranks: int) -> dict[str, str]:
    """What every rank hears of bad chunks on the last one."""
    good, is_last = torch.eye(4), rank == n_ranks - 1
    other = torch.full((4, 4), torch.nan) if is_last else good
    wide = torch.ones(4, 5) if is_last else good
    return {
        "nobody has a token": error_of([]),
        "not finite": error_of([(good, other)]),
        "widths": error_of([(good, wide)]) if n_ranks > 1 else "nothing to compare",
    }


def collectives(rank: int, n_ranks: int) -> dict[str, np.ndarray]:
    """What `Ranks` makes of rows that differ from rank to rank."""
    ranks = Ranks(dist.group.WORLD)
    made = {}
    for n in (0, 1, 4, 7):
        rows = torch.arange(3.0 * n).reshape(n, 3) + 100 * rank
        made[f"share {n}"], first = ranks.sum_rows(rows)
        made[f"first {n}"], made[f"sum {n}"] = torch.tensor(first), ranks.sum(rows)
    made["concatenated"] = ranks.concatenate(torch.full((rank, 2), rank))  # as many rows as the rank's number
    return {name: tensor.numpy() for name, tensor in made.items()}


def run_rank(rank: int, n_ranks: int, folder: Path) -> None:
    """Answer everything."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=n_ranks)
    for case in range(len(CASES)):
        for share in SHARES:
            found = answers(case, share_of(case, share, rank, n_ranks), dist.group.WORLD)
            np.savez(folder / f"{case} {share} {rank}.npz", *found)
    np.savez(folder / f"errors {rank}.npz", **errors(rank, n_ranks))
    np.savez(folder / f"collectives {rank}.npz", **collectives(rank, n_ranks))
    dist.destroy_process_group()


if __name__ == "__main__":
    for n in N_RANKS:  # forked, so that torch is imported once; a failing rank ends the others
        folder_of_n = Path(sys.argv[1]) / str(n)
        folder_of_n.mkdir()
        torch.multiprocessing.start_processes(run_rank, (n, folder_of_n), nprocs=n, start_method="fork")
