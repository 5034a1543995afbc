"""One local hub and one process that downloads from it for the whole test session."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.hub.repositories import write_repositories
from tests.hub.server import HubServer

SMALL = ("data.n_sequences=8", "data.seq_len=40", "data.batch_size=4", "null.n=9", "logger=none", "cache=off")
TRAINING = ("n_tokens=512", "batch_tokens=256", "buffer.tokens=512", "data.seq_len=64", "seeds=[0]", "logger=none")
TRAINING += ("expansion_factor=[2]", "evaluation.n_tokens=256", "evaluation.n_sequences=2", "layers=[1,3]")
QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
REPOSITORY = Path(__file__).parents[2]


class Client:
    """Runs comparisons in a process whose hub is `endpoint` and whose caches are under `home`."""

    def __init__(self, endpoint, home, **environment):
        self.home = home
        code = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
        places = {"HF_HOME": f"{home}/huggingface", "XDG_CACHE_HOME": f"{home}/cache", "PYTHONPATH": code}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
        mine = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        self.said = open(home / f"said-{endpoint.rpartition(':')[2]}.txt", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            cwd=home,
            env=mine | places | quiet | {"HF_ENDPOINT": endpoint} | environment,
        )

    def compare(self, *overrides):
        """The record of a small comparison as a dictionary, or its error and that error's kind."""
        return self.ask([*SMALL, *QUIET, f"output_dir={self.home}/run", *overrides])

    def train(self, *overrides):
        """The names of the SAEs that a small training run has written, or its error and that error's kind."""
        return self.ask({"train": [*TRAINING, *QUIET, f"output_dir={self.home}/saes", *overrides]})

    def encode(self, path, resid):
        """What the SAE of that path makes of a residual stream: `acts`, `decoded` and its `W_dec`, as tensors."""
        answer = self.ask({"path": path, "resid": resid.tolist()})
        return {name: torch.tensor(value) for name, value in answer.items()}

    def ask(self, request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.said.close()


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """The server, with the repositories of the paper's four setups."""
    root = tmp_path_factory.mktemp("hub")
    write_repositories(root)
    server = HubServer(root)
    yield server
    server.shutdown()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Working directory and caches of the clients."""
    path = tmp_path_factory.mktemp("home")
    yield path
    shutil.rmtree(path / "huggingface", ignore_errors=True)


@pytest.fixture(scope="session")
def client(hub, home):
    """A process that reaches the hub."""
    process = Client(hub.endpoint, home)
    yield process
    process.close()


@pytest.fixture(scope="session")
def offline(home):
    """A process whose hub does not answer; it has what others have downloaded."""
    process = Client("http://127.0.0.1:9", home)  # the discard port
    yield process
    process.close()
