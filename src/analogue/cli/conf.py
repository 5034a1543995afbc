"""The three programs that Hydra runs: where their configuration lies, and which folders of options they share."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from analogue.cli.schema import CompareConfig, TrainSAEConfig, UniversalityConfig

PACKAGED = Path(__file__).parents[1] / "conf"  # in an installed package
CHECKOUT = Path(__file__).parents[3] / "conf"
ROOT = PACKAGED if PACKAGED.is_dir() else CHECKOUT


_SHARED_NOW: list[tuple[str, Path]] = []
_read = cache(OmegaConf.load)  # Hydra copies what it takes from its store


def _share(files: list[tuple[str, Path]]) -> None:
    """Put these files, by their groups, into Hydra's ConfigStore as options, in place of those that it holds."""
    store = ConfigStore.instance()
    for group, file in _SHARED_NOW:
        options = store.repo
        for part in group.split("/"):
            options = options[part]
        del options[file.name]
    for group, file in files:
        store.store(group=group, name=file.stem, node=_read(file))
    _SHARED_NOW[:] = files


@dataclass(frozen=True)
class Program:
    """A program that Hydra runs.

    Attributes:
        config_name: of its configuration.
        schema: its typed shape.
        directory: where it lies.
        shared: by the name of a group, the folder below `conf/` whose files are its options, too.
        hidden: folders beside its groups that are not groups of this program, or from which only other options choose.
    """

    config_name: str
    schema: type
    directory: Path
    shared: Mapping[str, str]
    hidden: tuple[str, ...] = ()

    @contextmanager
    def shared_groups(self) -> Iterator[None]:
        """Let one folder of options serve several groups: model_b has the options of model_a.

        A user's own options of a group, in a folder given by `--config-dir`, stand beside them.
        """
        files = [(group, file) for group, folder in self.shared.items() for file in sorted((ROOT / folder).glob("*"))]
        enclosing = [*_SHARED_NOW]  # of an outer program, one of whose jobs composes the configuration of this one
        _share(files)
        try:
            yield
        finally:
            _share(enclosing)

    def groups(self) -> set[str]:
        """The groups that stand at the top of its command line: `experiment`."""
        return {each.name for each in self.directory.iterdir() if each.is_dir()} - {*self.hidden} | {*self.shared}

    def of_its_own(self, text: str) -> str:
        """What Hydra says of groups, in --help and to shell completion, without those that are hidden."""
        hidden = "|".join(map(re.escape, self.hidden))
        return re.sub(rf"^(?:{hidden})[:/].*\n|(?<!\S)(?:{hidden})(?:[=/]\S*|(?=\s)) ?", "", text, flags=re.MULTILINE)

    def compose(self, *overrides: str, with_hydra: bool = False) -> DictConfig:
        """The configuration of a command line, without running it; `with_hydra` keeps Hydra's own section."""
        from hydra import compose, initialize_config_dir
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()
        with self.shared_groups(), initialize_config_dir(str(self.directory), version_base="1.3"):
            return compose(self.config_name, overrides=list(overrides), return_hydra_config=with_hydra)


COMPARE = Program(
    "compare", CompareConfig, ROOT, {"model_b": "model_a", "sae_b": "sae_a"}, ("training", "universality", "layer_grid")
)
TRAIN_SAE = Program(
    "train_sae",
    TrainSAEConfig,
    ROOT / "training",
    {"model": "model_a", "logger": "logger", "hydra/help": "hydra/help", "hydra/launcher": "hydra/launcher"},
)
UNIVERSALITY = Program(
    "universality",
    UniversalityConfig,
    ROOT / "universality",
    {
        **{name: name for name in ("data", "alignment", "cache", "logger")},
        **{name: name for name in ("hydra/help", "hydra/launcher")},
    },
)
