"""The configuration of launchers and of sweeps composes."""

import pytest
from hydra.utils import get_class

from analogue.cli.conf import COMPARE
from analogue.cli.sweep import count_jobs


def composed(*overrides):
    return COMPARE.compose(*overrides, with_hydra=True)


def test_the_slurm_launcher_composes_and_its_class_is_there():
    launcher = composed("hydra/launcher=slurm", "hydra.launcher.partition=gpu").hydra.launcher
    assert get_class(launcher._target_).__name__ == "SlurmLauncher"
    assert (launcher.partition, launcher.array_parallelism) == ("gpu", 32)


@pytest.mark.parametrize(
    ("overrides", "n_jobs"),
    [
        ((), 1),
        (("layer_a=1,2,3", "layer_b=range(1,12)"), 33),
        (("filters=none,paper", "metrics=[svcca,rsa],[rsa]", "seed=1"), 4),
        (("layer_a=interval(1,2)",), None),
    ],
)
def test_the_jobs_of_a_grid_are_counted(overrides, n_jobs):
    hydra = composed().hydra
    hydra.overrides.task = list(overrides)
    assert count_jobs(hydra) == n_jobs


def test_what_the_command_line_says_goes_before_the_configured_grid():
    hydra = composed().hydra
    hydra.sweeper.params = {"layer_a": "1,2", "layer_b": "1,2,3"}
    assert count_jobs(hydra) == 6
    hydra.overrides.task = ["layer_b=4"]
    assert count_jobs(hydra) == 2
