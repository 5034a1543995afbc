"""What was found of two spaces, kept beside their activations: a run that was stopped goes on, a longer list adds."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from analogue.entries import write_entry
from analogue.features import content_key
from analogue.features.store import usable_entry
from analogue.settings import Clustering
from analogue.universality.links import Partners

VERSION = 2  # raise when the code that tests partners changes its output
_ARRAYS = ("feature", "correlation", "p_value", "q_value", "critical")


class PairStore:
    """Tested partners of two spaces, one file `<key>.safetensors` for each two, in the store's directory.

    Their files are those of `analogue.features.ActivationStore`: each carries its key and a checksum, is written
    atomically, and is counted and removed among the activations.

    Args:
        directory: None to keep nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def key(self, activations: tuple[str, str], clustering: Clustering, seed: int) -> str:
        """The name of what the activations of two spaces, by their own names, and these settings give."""
        settings = {name: value for name, value in asdict(clustering).items() if name in ("q", "n_draws")}
        return content_key(partners=VERSION, activations=activations, seed=seed, **settings)

    def get(self, key: str) -> tuple[Partners, Partners] | None:
        """What is kept under that name; None if there is nothing, or if the file is damaged, with a warning."""
        if self.directory is None:
            return None
        return usable_entry(self._path(key), key, "the kept partners", _partners)

    def put(self, key: str, tested: tuple[Partners, Partners]) -> None:
        """Keep it; if the disk is full, nothing is kept and the next run has to compute it again."""
        if self.directory is None:
            return
        tensors = {
            f"{side}.{name}": torch.from_numpy(np.ascontiguousarray(getattr(partners, name)))
            for side, partners in zip("ab", tested, strict=True)
            for name in _ARRAYS
        }
        with suppress(OSError):
            write_entry(self._path(key), key, tensors, {})

    def _path(self, key: str) -> Path:
        assert self.directory is not None
        return self.directory / f"{key}.safetensors"


def _partners(tensors: Mapping[str, torch.Tensor], _header: Mapping[str, str]) -> tuple[Partners, Partners]:
    one, other = (Partners(**{name: tensors[f"{side}.{name}"].numpy() for name in _ARRAYS}) for side in "ab")
    return one, other
