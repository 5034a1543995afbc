"""How an entry point runs and ends: errors as one sentence, exit code 1, and the rest of a multirun still runs."""

import functools
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from analogue.cli.arguments import misread_option, options_first
from analogue.cli.composition import (
    can_be_read,
    composition_error,
    empty_sweep,
    flags_of,
    keys_of,
    listed_values,
    plain,
)
from analogue.cli.conf import Program
from analogue.cli.help import register_help
from analogue.cli.terminal import print_patiently
from analogue.cli.voice import is_lost_rank, may_speak, shared_voice
from analogue.errors import UserError
from analogue.quiet import quiet_libraries

# Threads that wait by spinning make everything twice as slow where other processes use the cores too. torch reads this
# when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LOST_RANK = "another rank has ended without a word, and this one with it; was it killed, or out of memory?"
INTERRUPTED = 130  # what a shell reports of a process that Ctrl-C has ended
TERMINATED = 143  # and of one that SIGTERM has ended: SLURM, docker and `kill` send it


def run(task: Callable[[DictConfig], Any], program: Program, subcommand: Sequence[str] = ()) -> NoReturn:
    """Run `task` with the configuration that the command line composes, and end the process.

    Exit codes: 0, 1 if a job failed or the configuration cannot be composed, 130 after Ctrl-C, 143 after SIGTERM.

    Args:
        task: one job.
        program: whose configuration it is.
        subcommand: what stood between the program and the arguments: `compare`.
    """
    print_patiently()
    command = sys.argv
    sys.argv = [command[0], *listed_values(quoted_values(options_first(command[1:])), program.schema)]
    if refusal := _refusal(sys.argv[1:], program):
        print(f"error: {refusal}", file=sys.stderr)
        sys.exit(1)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, to be printed as one sentence
    register_help()
    outcome = Outcome()
    job = outcome.reported(task, subcommand)
    signal.signal(signal.SIGTERM, _terminate)
    composed = hydra.main(config_path=str(program.directory), config_name=program.config_name, version_base="1.3")
    try:
        with program.shared_groups(), _only_own_groups(program):
            composed(job)()
    except (KeyboardInterrupt, SystemExit) as error:
        if _by_sigterm(error):
            _say(f"terminated by SIGTERM; what was not finished is not written{outcome.how_to_go_on()}")
            sys.exit(TERMINATED)
        if not _by_ctrl_c(error):
            raise
        _say(f"interrupted{outcome.how_to_go_on()}")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if outcome.n_started:
            raise
        message = composition_error(error, program, sys.argv[1:])
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)
    sys.exit(1 if outcome.n_failed else 0)


def _refusal(arguments: Sequence[str], program: Program) -> str | None:
    """Why a command line is not worth composing, in one sentence."""
    if misread := misread_option(arguments, {*keys_of(program.schema), *program.groups()}, flags_of(program.schema)):
        return misread
    if empty := empty_sweep(arguments):
        return f"{empty}: spans no value, so there is no job to run"
    return None


class Outcome:
    """Counts the jobs of this process that began, and those that failed."""

    def __init__(self) -> None:
        self.n_started = 0
        self.n_failed = 0
        self.resumable: str | None = None

    def reported(self, task: Callable[[DictConfig], Any], subcommand: Sequence[str] = ()) -> TaskFunction:
        """Wrap a job: a `UserError` becomes a sentence on the terminal and a failure on the count.

        In a multirun every other exception does so too, and the job's folder keeps the error and its traceback. If
        several ranks fail together, only one of them reports it.
        """

        @functools.wraps(task)
        def run(cfg: DictConfig) -> Any:
            self.n_started += 1
            if in_multirun() and "sweep" in cfg:
                self.resumable = str(HydraConfig.get().sweep.dir)
            logging.getLogger("huggingface_hub").propagate = False  # it prints for itself; Hydra would print it again
            with quiet_libraries(), shared_voice(), _command_of_this_job(subcommand):
                try:
                    return task(cfg)
                except Exception as error:
                    self._report(error, cfg)
            return None

        return run

    def how_to_go_on(self) -> str:
        """The end of a sentence that says how to take over the finished jobs of a sweep; empty if there are none."""
        from analogue.results.record import RESULT_FILE

        done = self.resumable is not None and any(Path(self.resumable).glob(f"*/{RESULT_FILE}"))
        return f"; the same command with sweep.resume={self.resumable} takes over what is finished" if done else ""

    def _report(self, error: Exception, cfg: DictConfig) -> None:
        is_lost = is_lost_rank(error)
        if not (isinstance(error, UserError) or is_lost or in_multirun()):
            may_speak()  # by its traceback
            raise error
        if may_speak():
            print(f"error: {LOST_RANK if is_lost else _sentence(error)}", file=sys.stderr)
        self.n_failed += 1
        if in_multirun():
            _record(error, cfg)
        else:
            remove_empty_run(Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().job.name)


@contextmanager
def _only_own_groups(program: Program) -> Iterator[None]:
    """Hide folders that are not groups of this program from --help and shell completion."""
    if not program.hidden or not {"--help", "-h", "-sc", "--shell-completion"} & {*sys.argv}:
        yield
        return
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        print(program.of_its_own(said.getvalue()), end="")


def in_multirun() -> bool:
    """Whether the job that runs now is one of several."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def quoted_values(arguments: list[str]) -> list[str]:
    """Let values be typed as they are where Hydra's grammar wants quotes: `DIR/layer_{layer}`, `step=10.ckpt`.

    Values with brackets or commas, which may be lists or sweeps, are left to the user's own quotes.
    """
    unquoted = re.compile(r"""(?<=[=,\[])([^,\[\]"'=]*\{layer\}[^,\[\]"']*)""")
    return [_quoted(unquoted.sub(r'"\1"', argument)) for argument in arguments]


def _quoted(argument: str) -> str:
    """The argument with its value in quotes, if Hydra can read it only so."""
    key, _, value = argument.partition("=")
    if not value or re.search(r"""[\[\](){},"$\\]""", value) or argument.startswith("-") or can_be_read(argument):
        return argument
    quoted = f'{key}="{value}"'
    return quoted if can_be_read(quoted) else argument


def remove_empty_run(directory: Path, job_name: str) -> None:
    """Remove what Hydra has written for a run that failed before it wrote anything itself, and nothing else.

    Args:
        directory: of the run.
        job_name: Hydra names its log after it.
    """
    log, settings = directory / f"{job_name}.log", directory / ".hydra"
    if log.is_file() and log.stat().st_size:
        return
    written = {settings / f"{name}.yaml" for name in ("config", "hydra", "overrides")}
    others = {*directory.glob("*"), *settings.glob("*")} - {log, settings, *written}
    if others:  # of an earlier run, or the user's
        return
    for file in (log, *written):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # a folder that is not empty stays
        settings.rmdir()
        directory.rmdir()
        for parent in (directory.parent, directory.parent.parent):
            if "outputs" in (parent.name, parent.parent.name):
                parent.rmdir()


@contextmanager
def _command_of_this_job(subcommand: Sequence[str]) -> Iterator[None]:
    """Let a job start its own ranks, and leave nothing of them to the next job of a multirun.

    Lightning starts a rank by the command line of its process, which in a multirun is that of all jobs, and keeps the
    ranks' variables and process group until the process ends.
    """
    command, variables = sys.argv, {name: os.environ.get(name) for name in RANK_VARIABLES}
    arguments = [*HydraConfig.get().overrides.task, "hydra.mode=RUN"] if in_multirun() else command[1:]
    sys.argv = [command[0], *subcommand, *arguments]
    try:
        yield
    finally:
        sys.argv = command
        if in_multirun():
            _forget_ranks(variables)


def _forget_ranks(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Terminated(SystemExit):
    """SIGTERM has arrived."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough: launchers pass it on to every rank
    raise Terminated(TERMINATED)


def _by_sigterm(error: BaseException | None) -> bool:
    """Whether SIGTERM caused an exception; the one that Lightning raises between batches would exit with code 0."""
    if error is None or isinstance(error, Terminated) or type(error).__name__ == "SIGTERMException":
        return error is not None
    return _by_sigterm(error.__context__)


def _say(line: str) -> None:
    """Print a line once, even if several ranks end together."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(line, file=sys.stderr)


def _by_ctrl_c(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused an exception: Lightning handles Ctrl-C by exiting with code 1."""
    return isinstance(error, KeyboardInterrupt) or (error is not None and _by_ctrl_c(error.__context__))


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _record(error: Exception, cfg: DictConfig) -> None:
    from analogue.results.jobs import Failure, write_failure

    try:
        config = plain(cfg)
    except OmegaConfBaseException:  # a reference to nothing, which may be what the failure is about
        config = plain(cfg, resolve=False)
    given = config.get("output_dir")
    directory = given if isinstance(given, str) and "${" not in given else HydraConfig.get().runtime.output_dir
    write_failure(Failure(_sentence(error), config), traceback.format_exc(), directory)
