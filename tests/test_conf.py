"""Every YAML under conf/ composes and passes the typed schema."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from analogue.comparison.config import CompareConfig
from analogue.training.config import TrainSAEConfig

CONF = Path(__file__).parent.parent / "conf"
COMPARE_GROUPS = ("model_a", "model_b", "sae_a", "sae_b", "data", "filters", "cache", "logger")
TRAINING_GROUPS = ("model", "sae")
REQUIRED = {"data=text": ("data.path=some.txt",)}


def options(*groups):
    return [f"{group}={path.stem}" for group in groups for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize("option", options(*COMPARE_GROUPS))
def test_options_of_compare_compose(compose_config, option):
    cfg = compose_config("compare", option, *REQUIRED.get(option, ()), "output_dir=out")
    cfg.logger = {}  # refers to Hydra's run time
    assert isinstance(OmegaConf.to_object(cfg), CompareConfig)


@pytest.mark.parametrize("option", options(*TRAINING_GROUPS))
def test_options_of_train_sae_compose(compose_config, option):
    cfg = compose_config("train_sae", option, "output_dir=out")
    assert isinstance(OmegaConf.to_object(cfg), TrainSAEConfig)
