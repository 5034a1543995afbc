"""Ranks train on the gradient of the batch that they share."""

import os

import torch
from safetensors.torch import load_file

from tests.processes import REPOSITORY, run


def test_two_ranks_and_one_process_train_the_same_saes(tmp_path):
    environment = os.environ | {
        "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}",
        "OMP_NUM_THREADS": "1",
    }
    for n_ranks in (1, 2):
        arguments = (n_ranks, tmp_path / f"{n_ranks}.safetensors")
        run(REPOSITORY / "tests/training/ranks.py", *arguments, cwd=REPOSITORY, env=environment)
    one, two = (load_file(tmp_path / f"{n_ranks}.safetensors") for n_ranks in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
