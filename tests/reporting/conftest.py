"""One real multirun, two jobs done and four failed, that the tests of this room look at."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import COMPARE, Process, run


@dataclass
class Sweep:
    directory: Path
    ended: Process


@pytest.fixture(scope="session")
def sweep(tmp_path_factory, activation_cache):
    folder = tmp_path_factory.mktemp("sweep")
    small = ("data.n_sequences=8", "data.seq_len=80", "null.n=19", f"cache.dir={activation_cache}")
    quiet = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
    jobs = ("-m", "layer_a=1,2,3", "layer_b=4,99", "sweep.dir=runs/first")
    # No user's error: a folder lies where the pairs of job 4 should go.
    (folder / "runs" / "first" / "4" / "pairs.parquet" / "in the way").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"OMP_NUM_THREADS": "1", "HOME": str(folder)}  # nobody is logged in there
    ended = run(COMPARE, *jobs, *small, *quiet, cwd=folder, env=environment, check=False)
    return Sweep(folder / "runs" / "first", ended)
