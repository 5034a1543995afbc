"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the entry points do; before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers share two cores

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def compose_config():
    """Compose a configuration as an entry point would, without its command line."""

    def composed(name, *overrides):
        root = REPOSITORY / "conf" / ("training" if name == "train_sae" else "")
        with initialize_config_dir(str(root), version_base="1.3"):
            return compose(name, overrides=list(overrides))

    return composed


@pytest.fixture(scope="session")
def activation_cache(tmp_path_factory):
    """One activation store for the whole test session."""
    return tmp_path_factory.mktemp("activations")


@pytest.fixture
def compare(compose_config, activation_cache, tmp_path):
    """Run a small comparison of the embedded pair; returns its record."""
    from analogue.comparison.run import compare

    def run(*overrides):
        small = ("data.n_sequences=12", "data.seq_len=100", "data.batch_size=5", "null.n=19")
        quiet = ("logger=none", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
        places = (f"output_dir={tmp_path}/run", f"cache.dir={activation_cache}")
        return compare(compose_config("compare", *small, *quiet, *places, *overrides))

    return run
