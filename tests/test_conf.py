"""Every YAML under conf/ composes and passes the typed schema."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from analogue.comparison.config import CompareConfig
from analogue.training.config import TrainSAEConfig

CONF = Path(__file__).parent.parent / "conf"
COMPARE_GROUPS = ("model_a", "model_b", "sae_a", "sae_b", "data", "alignment", "filters", "cache", "logger")
PRESET_GROUPS = ("experiment", "protocol", "seeds")
TRAINING_GROUPS = ("model", "sae", "data", "upload", "experiment")
REQUIRED = {
    "data=text": ("data.path=some.txt",),
    "model=hub": ("model.name=some/model",),
    "model_a=hub": ("model_a.name=some/model",),
    "model_b=hub": ("model_b.name=some/model",),
    "sae_a=hub": ("sae_a.path=some/directory",),
    "sae_b=hub": ("sae_b.path=some/directory",),
}

REQUIRED_TO_TRAIN = {
    "data=text": ("data.path=some.txt", "data.held_out_path=other.txt"),
    "model=hub": ("model.name=some/model",),
    "upload=hub": ("upload.repository=me/saes",),
}


def options(*groups, root=CONF):
    return [f"{group}={path.stem}" for group in groups for path in sorted((root / group).glob("*.yaml"))]


@pytest.mark.parametrize("option", options(*COMPARE_GROUPS, *PRESET_GROUPS))
def test_options_of_compare_compose(compose_config, option):
    cfg = compose_config("compare", option, *REQUIRED.get(option, ()), "output_dir=out")
    cfg.logger = {}  # refers to Hydra's run time
    assert isinstance(OmegaConf.to_object(cfg), CompareConfig)


@pytest.mark.parametrize("option", options(*TRAINING_GROUPS, root=CONF / "training"))
def test_options_of_train_sae_compose(compose_config, option):
    cfg = compose_config("train_sae", option, *REQUIRED_TO_TRAIN.get(option, ()), "output_dir=out", "logger=none")
    assert isinstance(OmegaConf.to_object(cfg), TrainSAEConfig)
