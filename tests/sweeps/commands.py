"""`compare.py` in its own process, small enough to run several times in a test."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SMALL = ("data.n_sequences=8", "data.seq_len=80", "null.n=19", "metrics=[svcca]", "trainer.accelerator=cpu")
QUIET = ("trainer.enable_progress_bar=false", "logger=none")
GRID = ("layer_a=1,2", "layer_b=4,5")


def start(*arguments, cwd, cache):
    """Start a small comparison or sweep; its output goes into a file."""
    command = [sys.executable, str(REPOSITORY / "compare.py"), *arguments, *SMALL, *QUIET, f"cache.dir={cache}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    with (cwd / "output.txt").open("w") as output:
        return subprocess.Popen(
            command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def run(*arguments, cwd, cache, code=0):
    """Run one to its end; returns what it printed."""
    started = start(*arguments, cwd=cwd, cache=cache)
    ended = started.wait(timeout=300)
    printed = (cwd / "output.txt").read_text()
    assert ended == code, printed
    return printed
