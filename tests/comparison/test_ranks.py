"""Two ranks under gloo pair what one process pairs, whatever the engine, and get what rank 0 has."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analogue.matching import best_partners
from tests.comparison.ranks_program import CALLS, DENSITIES, N_RANKS, arrays_of, sides

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the ranks have left."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.comparison.ranks_program", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=300)
    return folder


def read(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return list(arrays.values())


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize(("direction", "k"), CALLS)
def test_two_ranks_pair_what_one_process_pairs(folder, density: float, direction: str, k: int) -> None:
    walked = arrays_of(best_partners(*sides(density), k, direction=direction, engine="walk"))
    for rank in range(N_RANKS):
        for found, expected in zip(read(folder / f"{density} {direction} {rank}.npz"), walked, strict=True):
            assert found.dtype == expected.dtype
            if found.dtype == np.int64:
                np.testing.assert_array_equal(found, expected)
            else:
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_every_rank_gets_the_activations_of_rank_0(folder) -> None:
    acts = sides(DENSITIES[0])[0]
    for rank in range(N_RANKS):
        indptr, indices, values, d_sae = read(folder / f"received {rank}.npz")
        assert (indptr.dtype, indices.dtype, values.dtype) == (np.int64, np.int32, np.float32)
        np.testing.assert_array_equal(indptr, acts.indptr)
        np.testing.assert_array_equal(indices, acts.indices)
        np.testing.assert_array_equal(values, acts.values)
        assert d_sae == acts.d_sae
