"""`compare.py` in its own process, small enough to run several times in a test."""

from tests.processes import COMPARE, Process

SMALL = ("data.n_sequences=8", "data.seq_len=80", "null.n=19", "metrics=[svcca]", "trainer.accelerator=cpu")
QUIET = ("trainer.enable_progress_bar=false", "logger=none")
GRID = ("layer_a=1,2", "layer_b=4,5")


def start(*arguments, cwd, cache):
    """Start a small comparison or sweep."""
    return Process(COMPARE, *arguments, *SMALL, *QUIET, f"cache.dir={cache}", cwd=cwd)


def run(*arguments, cwd, cache, code=0):
    """Run one to its end; returns what it printed."""
    started = start(*arguments, cwd=cwd, cache=cache)
    assert started.wait() == code, started.stdout + started.stderr
    return started.stdout + started.stderr
