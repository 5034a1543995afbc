"""No process ends with success where it has no result: SIGTERM, a job of a sweep that fails early, an empty sweep."""

import json
import signal
import time

import pytest

from tests.processes import REPOSITORY, Process, start_ranks

COMPARE = ("compare.py", "data.n_sequences=100", "data.seq_len=300", "data.batch_size=1", "null.n=9", "cache=off")
TRAIN = ("train_sae.py", "seeds=[0]", "expansion_factor=[2]", "evaluation.n_tokens=512", "n_tokens=1024")
COMMON = ("logger=none", "trainer.accelerator=cpu")


def started(directory, program, *arguments):
    return Process(REPOSITORY / program, *arguments, *COMMON, cwd=directory)


def terminated(process, when):
    """Send SIGTERM once `when` has come true; the exit code and what stood on the terminal."""
    begin = time.monotonic()
    while not when():
        assert process.poll() is None, process.stderr
        assert time.monotonic() - begin < 120
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    return process.wait(60), process.stdout, process.stderr


SLOW = """
import sys, time, pathlib
from analogue.comparison.activations import ActivationPass
step = ActivationPass.test_step
def slow(self, *given, **named):
    pathlib.Path(self.trainer.state.fn.value).touch()
    time.sleep(0.2)
    return step(self, *given, **named)
ActivationPass.test_step = slow
sys.argv[0] = {program!r}
from analogue.cli.{module} import main
main()
"""


@pytest.mark.parametrize("more", [(), ("-m", "layer_a=1,2", "hydra.sweep.dir=sweep"), ("trainer.devices=2",)])
def test_sigterm_during_a_pass_ends_with_143_and_a_line(tmp_path, more):
    program = tmp_path / "slow.py"
    program.write_text(SLOW.format(program=str(program), module="compare"))
    code, _, err = terminated(started(tmp_path, program, *more, *COMPARE[1:]), (tmp_path / "test").exists)
    assert code == 143
    assert err.count("terminated by SIGTERM") == 1
    assert not [*tmp_path.rglob("result.json")]


def test_sigterm_during_the_last_evaluation_ends_with_143_and_goes_on(tmp_path):
    program = tmp_path / "slow.py"
    slow = SLOW.replace("comparison.activations import ActivationPass", "training.module import SAETraining")
    slow = slow.replace("ActivationPass", "SAETraining").replace("test_step", "validation_step")
    program.write_text(slow.format(program=str(program), module="train_sae"))
    more = ("n_tokens=2048", "batch_tokens=256", "evaluation.every_steps=5", "evaluation.n_tokens=4096")

    evaluating = (tmp_path / "validate").exists
    code, out, _ = terminated(started(tmp_path, program, *TRAIN[1:3], *more), evaluating)
    assert code == 143
    assert "stopped after step 8; the same command with ckpt_path=last goes on" in out
    assert not (tmp_path / "saes/layer_3").exists()
    again = started(tmp_path, TRAIN[0], *TRAIN[1:3], *more, "ckpt_path=last")
    assert again.wait() == 0, again.stderr
    assert (tmp_path / "saes/layer_3/cfg.json").is_file()


def test_the_first_job_of_a_training_sweep_may_fail(tmp_path):
    process = started(tmp_path, TRAIN[0], "-m", "layers=[99],[3]", *TRAIN[1:], "hydra.sweep.dir=sweep")
    assert process.wait() == 1
    err = process.stderr
    assert "error: layers=99: embedded:stories-6 has blocks 0 to 5" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "sweep/0/failure.json").read_text())["error"].startswith("layers=99")
    assert (tmp_path / "sweep/1/layer_3/cfg.json").is_file()


def test_a_sweep_over_nothing_says_so(tmp_path):
    process = started(tmp_path, "compare.py", "-m", "layer_a=range(3,3)")
    assert process.wait() == 1
    assert process.stderr.strip() == "error: layer_a=range(3,3): spans no value, so there is no job to run"


FAILING = """
import os, sys
from analogue.comparison.activations import ActivationPass
from analogue.errors import InvalidArgument
step = ActivationPass.test_step
def failing(self, *given, **named):
    if self.trainer.global_rank in {ranks}:
        {failure}
    return step(self, *given, **named)
ActivationPass.test_step = failing
sys.argv[0] = {program!r}
from analogue.cli.compare import main
main()
"""
REFUSED = 'raise InvalidArgument("a.model", "x", "puts out nonsense")'


@pytest.mark.parametrize(
    ("ranks", "failure", "said"),
    [
        ([1], REFUSED, "error: model_a.name=x: puts out nonsense"),
        ([0, 1], REFUSED, "error: model_a.name=x: puts out nonsense"),
        ([1], "os._exit(9)", "error: another rank has ended without a word, and this one with it; was it killed, or"),
    ],
)
def test_what_a_rank_fails_with_is_said_once(tmp_path, ranks, failure, said):
    program = tmp_path / "failing.py"
    program.write_text(FAILING.format(ranks=ranks, failure=failure, program=str(program)))
    (tmp_path / "tmp").mkdir()
    started = start_ranks(2, program, *COMPARE[1:], *COMMON, cwd=tmp_path, env={"TMPDIR": str(tmp_path / "tmp")})
    assert [each.wait(60) for each in started] in ([1, 1], [1, 9])
    printed = "".join(each.stderr for each in started)
    assert "Traceback" not in printed
    assert next(line for line in printed.splitlines() if line.startswith("error: ")).startswith(said)
    assert printed.count("error: ") == 1


def test_more_ranks_than_sequences_are_one_sentence(tmp_path):
    process = started(tmp_path, "compare.py", *COMPARE[1:], "data.n_sequences=1", "trainer.devices=2")
    assert process.wait() == 1
    told = "error: trainer.devices=2: is more than the text's 1 sequences, which its ranks share; use fewer, or more"
    assert process.stderr.startswith(told)
    assert len(process.stderr.splitlines()) == 1
