"""Ranks train on the gradient of the batch that they share."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

REPOSITORY = Path(__file__).parent.parent.parent


def test_two_ranks_and_one_process_train_the_same_saes(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for n_ranks in (1, 2):
        command = [sys.executable, "-m", "tests.training.ranks", str(n_ranks), str(tmp_path / f"{n_ranks}.safetensors")]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=200, capture_output=True)
    one, two = (load_file(tmp_path / f"{n_ranks}.safetensors") for n_ranks in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
