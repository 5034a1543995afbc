"""Fixtures that several rooms' tests share."""

import gc
import os
import re
from pathlib import PurePosixPath

import pytest

from analogue.cli.conf import COMPARE, TRAIN_SAE, UNIVERSALITY
from tests.slow import SLOW

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the entry points do; before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share two cores


TOGETHER = {
    "the hub": r"tests/hub/",
    "the sweep": r"tests/reporting/test_(sweep|tracking|report)",
    "UMAP": r"tests/(comparison|cli)/test_explore",
}


def pytest_collection_finish():
    """Do not look for garbage among the million objects that are imported by now, again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """By file, as `--dist loadfile` has it, but files that share a costly fixture go to one worker together."""
    from xdist.scheduler import LoadFileScheduling

    class ByFixtures(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((name for name, files in TOGETHER.items() if re.match(files, file)), file)

    return ByFixtures(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items):
    """Mark the tests of `tests/slow.py`."""
    for item in items:
        path, _, name = item.nodeid.partition("[")[0].partition("::")
        places = {f"{path}::{name}", path, *(parent.as_posix() for parent in PurePosixPath(path).parents)}
        if places & SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def compose_config():
    """Compose a configuration as an entry point would, without its command line."""

    def composed(name, *overrides):
        return {"train_sae": TRAIN_SAE, "universality": UNIVERSALITY}.get(name, COMPARE).compose(*overrides)

    return composed


@pytest.fixture(scope="session")
def activation_cache(tmp_path_factory):
    """One activation store for the whole test session."""
    return tmp_path_factory.mktemp("activations")


@pytest.fixture
def compare(compose_config, activation_cache, tmp_path):
    """Run a small comparison of the embedded pair; returns its record."""
    from analogue.cli.compare import run_comparison

    def run(*overrides):
        small = ("data.n_sequences=12", "data.seq_len=100", "data.batch_size=5", "null.n=19")
        quiet = ("logger=none", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
        places = (f"output_dir={tmp_path}/run", f"cache.dir={activation_cache}")
        return run_comparison(compose_config("compare", *small, *quiet, *places, *overrides))

    return run
