"""Silence for what libraries say on every run and no user can act on."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    *("lightning.pytorch.utilities.rank_zero", "lightning.pytorch", "lightning.fabric", "sae_lens"),
    *("httpx", "httpx2", "matplotlib.font_manager"),  # a line per request to the hub; fonts are listed once
)
_MESSAGES = (
    "`IterableDataset` has `__len__`",
    "does not have many workers",
    "LeafSpec",
    "TreeSpec",
    "torch.jit",
    "Sparse CSR tensor support",
    "Sparse invariant checks",
    "your dataloader is not resumable",  # the module that opens training's streams resumes them itself
    "dirpath has changed",
    "Checkpoint directory .* exists and is not empty",
)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence Lightning, SAELens, torch and the hub's client; their previous settings are restored afterwards."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        for message in _MESSAGES:
            warnings.filterwarnings("ignore", message=f".*{message}.*")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
