"""What was found of two spaces, kept beside their activations: a run that was stopped goes on, a longer list adds."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from analogue.atomic import atomic_write
from analogue.features import content_key
from analogue.settings import Clustering
from analogue.universality.links import Partners

VERSION = 2  # raise when the code that tests partners changes its output
_ARRAYS = ("feature", "correlation", "p_value", "q_value", "critical")


class PairStore:
    """Tested partners of two spaces, one file `<key>.safetensors` for each two, in the store's directory.

    The store counts these files, and removes them, as it does activations.

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
        """What is kept under that name; None for nothing, or a damaged file."""
        if self.directory is None:
            return None
        path = self._path(key)
        try:
            arrays = load_file(path)
            path.touch()
            one, other = (Partners(**{name: arrays[f"{side}.{name}"] for name in _ARRAYS}) for side in "ab")
        except (OSError, SafetensorError, KeyError):
            return None
        return one, other

    def put(self, key: str, tested: tuple[Partners, Partners]) -> None:
        """Keep it; a full disk costs the next run time, and this one nothing."""
        if self.directory is None:
            return
        arrays = {
            f"{side}.{name}": np.ascontiguousarray(getattr(partners, name))
            for side, partners in zip("ab", tested, strict=True)
            for name in _ARRAYS
        }
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path(key)) as temporary:
                save_file(arrays, temporary)
        except (OSError, SafetensorError):
            return

    def _path(self, key: str) -> Path:
        assert self.directory is not None
        return self.directory / f"{key}.safetensors"
