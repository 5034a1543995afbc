"""The dense engine on 1, 2 and 3 processes under gloo, each with a share of the tokens, against one with all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from analogue.matching import BestPartners, TokenChunks
from analogue.matching.dense.ranks import ALONE
from tests.matching import ranks_program
from tests.matching.ranks_program import CASES, N_RANKS, SHARES
from tests.matching.test_best_partners import assert_best, dense_correlations

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Path:
    """The folder with the answers of 1, 2 and 3 ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.matching.ranks_program", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=120)
    return folder


@pytest.fixture(params=N_RANKS)
def ranks(request, answers) -> tuple[int, Path]:
    """The number of ranks, and the folder with their answers."""
    return request.param, answers / str(request.param)


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def alone() -> list[list[np.ndarray]]:
    """The answers of one process that has all tokens."""
    return [ranks_program.answers(case, TokenChunks(*ranks_program.sides(case))) for case in range(len(CASES))]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("case", range(len(CASES)))
def test_ranks_find_what_one_process_finds(ranks, alone, case: int, share: str) -> None:
    n_ranks, folder = ranks
    found = [list(read(folder / f"{case} {share} {rank}.npz").values()) for rank in range(n_ranks)]
    for rank in range(n_ranks):
        for got, first, expected in zip(found[rank], found[0], alone[case], strict=True):
            np.testing.assert_array_equal(got, first)  # every rank has the whole result, bit for bit
            if got.dtype == np.int64:
                np.testing.assert_array_equal(got, expected)
            else:  # both rounded to 12 decimals: a last one may differ
                np.testing.assert_allclose(got, expected, rtol=0, atol=1.01e-12)


@pytest.mark.parametrize("case", [1, 3, 5])
def test_one_process_finds_what_a_plain_computation_finds(alone, case: int) -> None:
    a, b = ranks_program.sides(case)
    corr, k = dense_correlations(a, b), CASES[case][4]
    forward, reverse = alone[case][:2], alone[case][2:4]
    assert_best(BestPartners(*forward), corr, np.arange(b.shape[1]), b, k)
    assert_best(BestPartners(*reverse), corr.T, np.arange(a.shape[1]), a, k)


def test_every_rank_hears_of_what_is_wrong(ranks) -> None:
    n_ranks, folder = ranks
    for rank in range(n_ranks):
        heard = {name: str(message) for name, message in read(folder / f"errors {rank}.npz").items()}
        assert "at least one token" in heard["nobody has a token"]
        assert "NaN or infinite ones in 4 features of B" in heard["not finite"]
        if n_ranks > 1:
            assert "same widths on every rank, got [(4, 4), (4, 5)]" in heard["widths"]


@pytest.mark.parametrize("n", [0, 1, 4, 7])
def test_sums_and_shares_of_rows(ranks, n: int) -> None:
    n_ranks, folder = ranks
    made = [read(folder / f"collectives {rank}.npz") for rank in range(n_ranks)]
    expected = n_ranks * np.arange(3.0 * n).reshape(n, 3) + 100 * sum(range(n_ranks))
    np.testing.assert_array_equal(np.concatenate([of_rank[f"share {n}"] for of_rank in made]), expected)
    sizes = [len(of_rank[f"share {n}"]) for of_rank in made]
    assert [int(of_rank[f"first {n}"]) for of_rank in made] == [sum(sizes[:rank]) for rank in range(n_ranks)]
    for of_rank in made:
        np.testing.assert_array_equal(of_rank[f"sum {n}"], expected)


def test_lists_of_different_lengths_concatenate(ranks) -> None:
    n_ranks, folder = ranks
    expected = np.repeat(np.arange(n_ranks), np.arange(n_ranks))
    for rank in range(n_ranks):
        np.testing.assert_array_equal(read(folder / f"collectives {rank}.npz")["concatenated"][:, 0], expected)


def test_a_process_alone_copies_nothing() -> None:
    rows = torch.ones(3, 2)
    assert ALONE.sum(rows) is ALONE.concatenate(rows) is ALONE.gather(rows)[0] is ALONE.sum_rows(rows)[0] is rows
    assert (ALONE.size, ALONE.rank) == (1, 0)
