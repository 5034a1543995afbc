"""Where the configuration lies, and the groups that several keys share."""

from functools import cache
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

PACKAGED = Path(__file__).parents[1] / "conf"  # in an installed package
CHECKOUT = Path(__file__).parents[3] / "conf"
SAME_OPTIONS = {  # group: the folder whose files are its options
    "model_b": "model_a",
    "sae_b": "sae_a",
    "model": "model_a",
    "logger": "logger",
    "hydra/help": "hydra/help",
    "hydra/launcher": "hydra/launcher",
}


def conf_directory() -> Path:
    """The folder of `compare.yaml`; that of `train_sae.yaml` is its subfolder `training`."""
    return PACKAGED if PACKAGED.is_dir() else CHECKOUT


@cache
def register_shared_groups() -> None:
    """Let one folder of options serve several groups: model_b has the options of model_a.

    A user's own option of a group, in a folder given by `--config-dir`, goes beside them.
    """
    root = conf_directory()
    for group, folder in SAME_OPTIONS.items():
        for file in sorted((root / folder).glob("*.yaml")):
            ConfigStore.instance().store(group=group, name=file.stem, node=OmegaConf.load(file))
