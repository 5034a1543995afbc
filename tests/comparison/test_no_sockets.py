"""With everything local, nothing is asked of a network: not even a socket is made."""

import os
import shutil
import subprocess
import sys

import pytest

from analogue.embedded import ASSETS

PROGRAM = """
import sys

def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(refuse)
"""
LIBRARY = """
import analogue
a, b = (
    analogue.Side(f"{folder}/{name}", layer, f"{folder}/{name}-saes/layer_{layer}")
    for folder, name, layer in ((sys.argv[1], "stories-6", 3), (sys.argv[1], "stories-12", 6))
)
small = {"n_sequences": 4, "seq_len": 40, "null": analogue.Null(n=5), "device": "cpu", "progress": False}
analogue.compare(a, b, corpus=f"{sys.argv[1]}/texts.jsonl", cache=analogue.Cache(sys.argv[1]), **small)
"""
TRAINING = """
from analogue.training import train
train(f"{sys.argv[1]}/stories-6", [3], corpus=f"{sys.argv[1]}/texts.jsonl", held_out=f"{sys.argv[1]}/texts.jsonl",
      n_tokens=256, batch_tokens=128, seq_len=32, expansion_factor=[1], device="cpu", progress=False)
"""
SHELL = """
sys.argv[:] = ["compare.py", "logger=none", "cache=off", "trainer.accelerator=cpu", "data.n_sequences=4",
               "data.seq_len=40", "null.n=5", f"hydra.run.dir={sys.argv[1]}/run"]
from analogue.cli.compare import main
main()
"""


@pytest.mark.parametrize("program", [LIBRARY, TRAINING, SHELL], ids=["library", "training", "shell"])
def test_no_socket_is_opened(tmp_path, program):
    for name in ("stories-6", "stories-12", "stories-6-saes", "stories-12-saes"):
        shutil.copytree(ASSETS / name, tmp_path / name)
    (tmp_path / "texts.jsonl").write_text('{"text": "Once upon a time there was a little dog. He ran all day."}\n' * 9)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", PROGRAM + program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_guard_sees_sockets():
    program = PROGRAM + "import socket; socket.socket()"
    assert "socket.__new__" in subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr
