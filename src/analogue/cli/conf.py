"""Where the configuration lies, and the folders of options that several groups share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

PACKAGED = Path(__file__).parents[1] / "conf"  # in an installed package
CHECKOUT = Path(__file__).parents[3] / "conf"
COMPARE, TRAINING = "", "training"  # folders of the two entry points
SHARED = {  # group: the folder whose files are its options, too
    COMPARE: {"model_b": "model_a", "sae_b": "sae_a"},
    TRAINING: {
        "model": "model_a",
        "logger": "logger",
        "hydra/help": "hydra/help",
        "hydra/launcher": "hydra/launcher",
    },
}


def conf_directory() -> Path:
    """The folder of `compare.yaml`; that of `train_sae.yaml` is its subfolder `training`."""
    return PACKAGED if PACKAGED.is_dir() else CHECKOUT


@contextmanager
def shared_groups(folder: str) -> Iterator[None]:
    """Let one folder of options serve several groups of an entry point: model_b has the options of model_a.

    A user's own options of a group, in a folder given by `--config-dir`, stand beside them.
    """
    options = [
        (group, file)
        for group, shared in SHARED[folder].items()
        for file in sorted((conf_directory() / shared).glob("*.yaml"))
    ]
    for group, file in options:
        ConfigStore.instance().store(group=group, name=file.stem, node=OmegaConf.load(file))
    try:
        yield
    finally:
        for group, file in options:
            stored = ConfigStore.instance().repo
            for part in group.split("/"):
                stored = stored[part]
            del stored[file.name]
