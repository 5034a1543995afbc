"""How an entry point runs and ends: errors as one sentence, exit code 1, and the rest of a multirun still runs."""

import functools
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from analogue.cli.composition import composition_error
from analogue.errors import UserError

# Threads that wait by spinning make everything twice as slow where other processes use the cores too. torch reads this
# when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
INTERRUPTED = 130  # what a shell reports of a process that Ctrl-C has ended


def run(task: Callable[[DictConfig], Any], config_path: str, config_name: str, schema: type) -> NoReturn:
    """Run `task` with the configuration of `schema` that the command line composes, and end the process.

    Exit codes: 0, 1 if a job failed or the configuration cannot be composed, 130 after Ctrl-C.
    """
    quote_layer_placeholders()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, where they are told in one sentence
    outcome = Outcome()
    try:
        hydra.main(config_path=config_path, config_name=config_name, version_base="1.3")(outcome.reported(task))()
    except (KeyboardInterrupt, SystemExit) as error:
        if not _by_ctrl_c(error):
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        told = composition_error(error, schema)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(1)
    sys.exit(1 if outcome.n_failed else 0)


class Outcome:
    """Counts the jobs of this process that failed."""

    def __init__(self) -> None:
        self.n_failed = 0

    def reported(self, task: Callable[[DictConfig], Any]) -> TaskFunction:
        """Wrap a job: a `UserError` becomes a sentence on the terminal and a failure on the count.

        In a multirun every other exception does so too, and the job's folder keeps the error and its traceback.
        """

        @functools.wraps(task)
        def run(cfg: DictConfig) -> Any:
            quieten()
            try:
                with _ranks_of_this_job_alone():
                    return task(cfg)
            except Exception as error:
                if not (isinstance(error, UserError) or in_multirun()):
                    raise
                print(f"error: {_sentence(error)}", file=sys.stderr)
                self.n_failed += 1
                if in_multirun():
                    _record(error, cfg)
                return None

        return run


def in_multirun() -> bool:
    """Whether the job that runs now is one of several."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


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
        ".*Sparse CSR tensor support.*",
        ".*Sparse invariant checks.*",
        ".*your dataloader is not resumable.*",  # training's streams are, by the module that opens them
        ".*dirpath has changed.*",
        ".*Checkpoint directory .* exists and is not empty.*",
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


@contextmanager
def _ranks_of_this_job_alone() -> Iterator[None]:
    """Let a multirun's job start its own ranks, and leave nothing of them to the next job.

    Lightning starts a rank by the command line of its process, which in a multirun is that of all jobs, and keeps the
    ranks' variables and process group until the process ends.
    """
    if not in_multirun():
        yield
        return
    arguments, variables = sys.argv, {name: os.environ.get(name) for name in RANK_VARIABLES}
    sys.argv = [arguments[0], *HydraConfig.get().overrides.task, "hydra.mode=RUN"]
    try:
        yield
    finally:
        sys.argv = arguments
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch = sys.modules.get("torch")
        if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _by_ctrl_c(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an exception: Lightning answers it by leaving with code 1."""
    return isinstance(error, KeyboardInterrupt) or (error is not None and _by_ctrl_c(error.__context__))


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _record(error: Exception, cfg: DictConfig) -> None:
    from analogue.results.jobs import Failure, write_failure

    write_failure(Failure(_sentence(error), _plain(cfg)), traceback.format_exc(), cfg.output_dir)


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)  # type: ignore[return-value]
