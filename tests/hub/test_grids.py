"""`sweep=paper` expands a preset to the paper's grid of layers."""

from itertools import product

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from analogue.cli.conf import COMPARE

GRIDS = {
    "pythia_70m_vs_160m": {"layer_a": range(1, 6), "layer_b": range(1, 12)},
    "gemma_1_2b_vs_gemma_2_2b": {"layer_a": (6, 10, 12, 17), "layer_b": range(2, 23, 4)},
    "llama_3_vs_3_1": {"layer_a": (25,), "layer_b": (25,)},
    "tinystories_seeds": {"matching.direction": ("a_to_b", "b_to_a")},
}


def jobs(cfg):
    overrides = [f"{key}={values}" for key, values in cfg.hydra.sweeper.params.items()]
    [batch] = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(overrides), max_batch_size=None)
    return [tuple(job) for job in batch]


@pytest.mark.parametrize("experiment", GRIDS)
def test_the_grid_is_the_papers(experiment):
    cfg = COMPARE.compose(f"experiment={experiment}", "sweep=paper", with_hydra=True)
    keys = GRIDS[experiment]
    expected = [
        tuple(f"{key}={value}" for key, value in zip(keys, job, strict=True)) for job in product(*keys.values())
    ]
    assert sorted(jobs(cfg)) == sorted(expected)
    assert cfg.hydra.mode.name == "MULTIRUN"
