"""`compare.py` as a user runs it: its own process, in an empty folder."""

import json
import signal
import subprocess
import sys
import time

import pytest

from analogue.cli.run import Outcome, quoted_values, remove_empty_run
from tests import processes
from tests.processes import COMPARE, run_ranks

SMALL = (
    "data.n_sequences=7",
    "data.seq_len=64",
    "data.batch_size=2",
    "null.n=9",
    "logger=none",
    "trainer.accelerator=cpu",
)


@pytest.fixture
def run(tmp_path):
    def compare(*arguments):
        return processes.run(COMPARE, *arguments, *SMALL, f"cache.dir={tmp_path}/cache", cwd=tmp_path, check=False)

    return compare


def records(directory):
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(directory.rglob("result.json"))}


def test_bad_input_ends_with_one_sentence(tmp_path):
    command = [sys.executable, str(COMPARE), "layer_a=17", "hydra.run.dir=out"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert ended.stderr.strip() == "error: layer_a=17: embedded:stories-6 has blocks 0 to 5"
    assert not records(tmp_path)


def hydra_s_files(directory):
    for name in ("compare.log", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return directory


def test_a_failed_run_leaves_no_folder(tmp_path):
    remove_empty_run(hydra_s_files(tmp_path / "outputs/2026-01-01/12-00-00"), "compare")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kept", ["notes.log", "data/mine.txt", ".hydra/mine.yaml", "result.json"])
def test_a_failed_run_takes_nothing_that_was_there(tmp_path, kept):
    directory = hydra_s_files(tmp_path / "out")
    (directory / kept).parent.mkdir(exist_ok=True)
    (directory / kept).touch()
    before = sorted(directory.rglob("*"))
    remove_empty_run(directory, "compare")
    assert sorted(directory.rglob("*")) == before


def test_a_run_with_a_log_keeps_it(tmp_path):
    (hydra_s_files(tmp_path / "out") / "compare.log").write_text("something happened")
    remove_empty_run(tmp_path / "out", "compare")
    assert (tmp_path / "out/compare.log").read_text()


def test_what_stops_a_sweep_says_how_to_take_over_what_it_has_finished(tmp_path):
    outcome = Outcome()
    assert outcome.how_to_go_on() == ""
    outcome.resumable = str(tmp_path)
    assert outcome.how_to_go_on() == ""
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "result.json").touch()
    assert f"sweep.resume={tmp_path} takes over" in outcome.how_to_go_on()


def test_ctrl_c_ends_in_one_word(tmp_path):
    process = processes.Process(COMPARE, *SMALL, "null.n=1000000", "cache=off", "hydra.run.dir=out", cwd=tmp_path)
    while process.poll() is None and not (tmp_path / "out/.hydra/overrides.yaml").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.strip().endswith("interrupted")
    assert "Traceback" not in process.stderr
    assert not records(tmp_path)


def test_a_sweep_shares_model_passes_goes_past_a_bad_job_and_ends_with_figures(run, tmp_path):
    ended = run("-m", "layer_a=1,2,17", "layer_b=range(4,6)", "hydra.sweep.dir=sweep")
    assert ended.returncode == 1
    assert ended.stderr.count("error: layer_a=17") == 2
    assert "Traceback" not in ended.stderr
    found = records(tmp_path / "sweep")
    assert len(found) == 4
    assert sum(record["n_model_passes"] for record in found.values()) == 4  # layers 1, 2 of A and 4, 5 of B
    for metric in ("svcca", "svcca_pc1", "rsa"):
        assert (tmp_path / "sweep" / f"heatmap_{metric}.png").stat().st_size > 5000
        assert f"{metric}: paired score" in ended.stdout


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("data.path=step=10.ckpt", 'data.path="step=10.ckpt"'),
        ("data.path=\u6570\u636e.jsonl", 'data.path="\u6570\u636e.jsonl"'),
        ("data.path=#1.jsonl", 'data.path="#1.jsonl"'),
        ("data.path=it's.jsonl", 'data.path="it\'s.jsonl"'),
        ("sae_a.path=saes/layer_{layer}", 'sae_a.path="saes/layer_{layer}"'),
        *((each, each) for each in ("layer_a=1,2", "layer_a=3", "metrics=[svcca, rsa]", "data.path='#1.jsonl'", "-m")),
        *((each, each) for each in ("null.n=range(1,5)", "data=text", "~logger", "+a.b=c", "data.path=")),
        *((each, each) for each in ("hydra.run.dir=${now:%Y}", "data.path=[a=b", "data.path=a=b,c=d")),
    ],
)
def test_values_are_typed_as_they_are(typed, read):
    assert quoted_values([typed]) == [read]


def test_the_layer_placeholder_can_be_typed_as_it_is(run, tmp_path):
    ended = run("sae_a.path=embedded:stories-6-saes/layer_{layer}", "hydra.run.dir=out")
    assert ended.returncode == 0, ended.stderr
    assert records(tmp_path)["out"]["side_a"]["sae"] == "embedded:stories-6-saes/layer_3"


def test_ranks_share_the_sequences_and_agree_with_one_process(run, tmp_path):
    """Seven sequences over 1, 2 and 3 ranks: none is read twice, though 7 divides by neither.

    The two ranks are Lightning's own; three, and the last two, are started as `torchrun` does. These last find the
    activations of the first run in the store, and only pair.
    """
    for name, more in (("1", ("cache=disk",)), ("2", ("cache=off", "trainer.devices=2", "trainer.strategy=ddp"))):
        ended = run(*more, f"hydra.run.dir={name}")
        assert ended.returncode == 0, ended.stderr
    for name, n_ranks, cache in (("3", 3, "off"), ("warm", 2, "disk")):
        places = (f"hydra.run.dir={name}", f"cache={cache}", f"cache.dir={tmp_path}/cache")
        run_ranks(n_ranks, COMPARE, *places, *SMALL, cwd=tmp_path)
    one, *others = (records(tmp_path)[name] for name in ("1", "2", "3", "warm"))
    assert [record["n_model_passes"] for record in (one, *others)] == [2, 2, 2, 0]
    for other in others:
        assert other["funnel"] == one["funnel"]
        for entry, expected in zip(other["similarity"], one["similarity"], strict=True):
            numbers = ("score", "null_mean", "null_sd", "p_value")
            assert [entry[name] for name in numbers] == pytest.approx([expected[name] for name in numbers], abs=1e-6)
        assert other["side_b"]["explained_variance"] == pytest.approx(one["side_b"]["explained_variance"], abs=1e-9)


def test_help_shows_the_settings_and_an_example(run):
    ended = run("--help")
    assert ended.returncode == 0
    assert "layer_a=3\nlayer_b=6\n    block that is read, counted from 0\n" in ended.stdout
    assert "analogue compare -m layer_a=1,2,3 'layer_b=range(1,12)'" in ended.stdout
