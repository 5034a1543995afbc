"""Programs in processes of their own, each forked from one process that has imported what they import.

A new interpreter spends 10 seconds of a core on imports before `compare.py` does anything. A fork spends none, and is
as good a process: with a session, signals, a folder, an environment and an exit code of its own. What tests need of a
real interpreter (how it starts, what is imported, another `OMP_NUM_THREADS` or `HF_HOME`) they start with `subprocess`.
"""

import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
COMPARE, TRAIN_SAE, UNIVERSALITY = (REPOSITORY / f"{name}.py" for name in ("compare", "train_sae", "universality"))
POLLED_EVERY = 0.02  # seconds


class Forks:
    """The process that imports once and forks on demand: a line of JSON to it, a line of JSON back."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        command = [sys.executable, "-m", "tests.processes"]
        self.server = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self.server.stdin.close)

    def ask(self, **request):
        print(json.dumps(request), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    forks = None

    @classmethod
    def shared(cls):
        """One per process that runs tests."""
        cls.forks = cls.forks or cls()
        return cls.forks


class Process:
    """A program that runs, with the names of `subprocess.Popen`; it leads a session of its own."""

    def __init__(self, program, *arguments, cwd, env=None):
        self.said = [tempfile.NamedTemporaryFile("r", errors="replace") for _ in range(2)]  # noqa: SIM115
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"} if env is None else dict(env)
        request = {"argv": [str(program), *map(str, arguments)], "cwd": str(cwd), "env": environment}
        self.pid = Forks.shared().ask(start=request | {"said": [each.name for each in self.said]})
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            self.returncode = Forks.shared().ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout=300):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"still runs after {timeout} s\n{self.stdout}\n{self.stderr}")
            time.sleep(POLLED_EVERY)
        return self.returncode

    def send_signal(self, number):
        """To this process alone, as `kill` does."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """This process, and those that it has started."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(60)

    @property
    def stdout(self):
        return Path(self.said[0].name).read_text(errors="replace")

    @property
    def stderr(self):
        return Path(self.said[1].name).read_text(errors="replace")


def start_ranks(n_ranks, program, *arguments, cwd, env=None):
    """Ranks that somebody else starts, as `torchrun` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "OMP_NUM_THREADS": "1"}
    more = ("trainer.strategy=ddp", f"trainer.devices={n_ranks}")
    environment = os.environ | shared | (env or {})
    return [
        Process(program, *arguments, *more, cwd=cwd, env=environment | {"LOCAL_RANK": str(rank)})
        for rank in range(n_ranks)
    ]


def run_ranks(n_ranks, program, *arguments, cwd, timeout=300):
    """The same, to their end, which must be a success."""
    for each in start_ranks(n_ranks, program, *arguments, cwd=cwd):
        each.wait(timeout)
        assert each.returncode == 0, each.stderr


def run(program, *arguments, cwd, env=None, timeout=300, check=True):
    """A program to its end; with `check`, it must succeed."""
    process = Process(program, *arguments, cwd=cwd, env=env)
    process.wait(timeout)
    assert process.returncode == 0 or not check, process.stderr
    return process


def _serve():
    """Answer requests until the one who asks is gone."""
    replies = os.fdopen(os.dup(1), "w")  # what a child prints goes elsewhere
    os.dup2(2, 1)
    _import_all()
    codes = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            pid = os.fork()
            if pid == 0:
                replies.close()
                _become(**request["start"])
            answer = pid
        else:
            pid = request["poll"]
            if pid not in codes:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            answer = codes.get(pid)
        print(json.dumps(answer), file=replies, flush=True)


def _import_all():
    """What the programs import on their way; nothing here may start a thread."""
    import gc

    import analogue.cli.compare
    import analogue.cli.train_sae
    import analogue.cli.universality
    import analogue.comparison.pipeline
    import analogue.reporting.report
    import analogue.reporting.tables
    import analogue.training.pipeline
    import analogue.universality.pipeline  # noqa: F401

    gc.freeze()


def _become(argv, cwd, env, said):
    """Run a program in this process, as the interpreter would, and end."""
    from wandb.sdk.data_types._private import MEDIA_TMP

    code = 1
    for finalizer in [*weakref.finalize._registry]:  # of folders that belong to the process that forks
        finalizer.detach()
    MEDIA_TMP.__init__("wandb-media")  # removed at exit: each fork has its own
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background ignores
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        for number, path in enumerate((os.devnull, *said)):
            file = os.open(path, os.O_RDWR if number == 0 else os.O_WRONLY | os.O_APPEND)
            os.dup2(file, number)
            os.close(file)
        sys.stdin, sys.stdout, sys.stderr = (open(n, mode, encoding="utf-8") for n, mode in enumerate("rww"))  # noqa: SIM115
        sys.argv, sys.path[0] = argv, str(Path(argv[0]).parent)
        runpy.run_path(argv[0], run_name="__main__")
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if not isinstance(ending.code, int | None):
            print(ending.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
