"""How an entry point ends: user errors as one sentence, exit code 1, and the rest of a multirun still runs."""

import functools
import logging
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

from hydra.types import TaskFunction
from omegaconf import DictConfig

from analogue.errors import UserError


class Outcome:
    """Counts the jobs of this process that ended with a user error."""

    def __init__(self) -> None:
        self.n_failed = 0

    def reported(self, task: Callable[[DictConfig], Any]) -> TaskFunction:
        """Wrap a job: a `UserError` becomes a sentence on the terminal and a failure on the count."""

        @functools.wraps(task)
        def run(cfg: DictConfig) -> Any:
            quieten()
            try:
                return task(cfg)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                self.n_failed += 1
                return None

        return run

    def exit(self) -> None:
        """End the process, with code 1 if a job failed."""
        sys.exit(1 if self.n_failed else 0)


def quote_layer_placeholders() -> None:
    """Let `sae_a.path=DIR/layer_{layer}` be typed as it is; Hydra's grammar wants braces in quotes."""
    unquoted = re.compile(r"""(?<=[=,\[])([^,\[\]"'=]*\{layer\}[^,\[\]"']*)""")
    sys.argv[1:] = [unquoted.sub(r'"\1"', argument) for argument in sys.argv[1:]]


def quieten() -> None:
    """Silence what libraries say on every run and no user can act on."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch", "lightning.fabric", "sae_lens"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False  # it prints for itself, and Hydra would print it again
    for message in (
        ".*`IterableDataset` has `__len__`.*",
        ".*does not have many workers.*",
        ".*LeafSpec.*",
        ".*TreeSpec.*",
        ".*torch.jit.*",
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")
