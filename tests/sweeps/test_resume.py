"""A sweep that is killed goes on where it stopped; every launcher ends with the same table."""

import importlib.util
import json
import os
import shutil
import signal
import time

import pytest
from filelock import FileLock

from analogue.results import read_results
from tests.sweeps.commands import GRID, run, start


@pytest.fixture(scope="module")
def whole(tmp_path_factory, activation_cache):
    """The sweep as it ends when nobody disturbs it: two processes, a cold store of their own."""
    folder = tmp_path_factory.mktemp("whole")
    two = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    run("-m", *GRID, *two, "sweep.dir=sweep", cwd=folder, cache=folder / "cache")
    return folder / "sweep"


def records(sweep):
    return {path.parent.name: path.read_bytes() for path in sweep.glob("*/result.json")}


def killed_after(n_jobs, folder, cache):
    """Start the sweep and kill its process as soon as some jobs are done."""
    process = start("-m", *GRID, "sweep.dir=killed", cwd=folder, cache=cache)
    until = time.monotonic() + 200
    while len(records(folder / "killed")) < n_jobs and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return records(folder / "killed")


def test_a_killed_sweep_resumes_and_ends_as_if_nothing_had_happened(whole, tmp_path):
    cache = whole.parent / "cache"
    before = killed_after(1, tmp_path, cache)
    assert 1 <= len(before) < 4
    printed = run("-m", *GRID, "sweep.resume=killed", "sweep.dir=resumed", cwd=tmp_path, cache=cache)
    after = records(tmp_path / "resumed")
    assert len(after) == 4
    assert {name: after[name] for name in before} == before  # taken over, not computed again
    assert f"4 of 4 jobs ended: {4 - len(before)} done, 0 failed, {len(before)} taken over" in printed
    assert (tmp_path / "resumed" / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def test_one_pass_takes_all_layers_that_the_grid_needs(whole, tmp_path):
    run("-m", *GRID, "layers_per_pass=all", "sweep.dir=sweep", cwd=tmp_path, cache=tmp_path / "cache")
    passes = [json.loads(record)["n_model_passes"] for _, record in sorted(records(tmp_path / "sweep").items())]
    assert passes == [2, 0, 0, 0]
    assert (tmp_path / "sweep" / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


@pytest.mark.launchers
@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_launchers_end_with_the_same_table(whole, tmp_path, launcher):
    if importlib.util.find_spec(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher") is None:
        pytest.skip(f"pip install hydra-{launcher.partition('_')[0]}-launcher")
    shutil.copytree(whole, tmp_path / "most")
    shutil.rmtree(tmp_path / "most" / "3")  # one job is left to do
    arguments = (*GRID, f"hydra/launcher={launcher}", "sweep.resume=most", "sweep.dir=sweep")
    run("-m", *arguments, cwd=tmp_path, cache=whole.parent / "cache")
    assert len(records(tmp_path / "sweep")) == 4
    assert (tmp_path / "sweep" / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


@pytest.mark.launchers
@pytest.mark.slow
def test_each_job_of_a_sweep_starts_its_own_ranks(whole, tmp_path):
    ranks = ("trainer.devices=2", "trainer.strategy=ddp", "cache=off")
    printed = run("-m", "layer_a=1,2", "layer_b=4", *ranks, "sweep.dir=sweep", cwd=tmp_path, cache=tmp_path)
    assert printed.count("comparisons, 0 failed") == 1  # rank 1 sums nothing up
    alone = {(result.side_a.layer, result.side_b.layer): result for result in read_results(whole)}
    results = read_results(tmp_path / "sweep")
    assert [result.side_a.layer for result in results] == [1, 2]
    for result in results:
        one = alone[result.side_a.layer, 4]
        assert result.funnel == one.funnel
        assert result.similarity[0]["score"] == pytest.approx(one.similarity[0]["score"], abs=1e-6)


def test_two_cold_processes_compute_each_layer_once_and_leave_no_lock_held(whole):
    assert sum(result.n_model_passes for result in read_results(whole)) == 4
    store = whole.parent / "cache"
    assert list(store.glob("*.lock"))
    for lock in store.glob("*.lock"):
        with FileLock(lock, timeout=0):
            pass


def test_a_job_whose_files_have_changed_is_computed_again(whole, tmp_path):
    """The configuration is the same word for word; only the contents of the SAE's folder, or of the text, differ."""
    from analogue.embedded import locate

    saes, text = tmp_path / "saes", tmp_path / "text.txt"
    shutil.copytree(locate("embedded:stories-6-saes/layer_1", "path"), saes)
    text.write_text("Once upon a time there was a fox. It lived in a wood, by a river.\n\n" * 30)
    job = ("-m", "layer_a=1", "layer_b=4,6", f"sae_a.path={saes}", "data=text", f"data.path={text}")
    job += ("sweep.dir=sweep", "data.n_sequences=20", "data.seq_len=64")
    small = {"cwd": tmp_path, "cache": whole.parent / "cache"}
    run(*job, **small)
    first = records(tmp_path / "sweep")
    assert len(first) == 2
    run(*job, **small)
    assert records(tmp_path / "sweep") == first
    shutil.rmtree(saes)
    shutil.copytree(locate("embedded:stories-6-saes/layer_2", "path"), saes)
    run(*job, **small)
    second = records(tmp_path / "sweep")
    assert all(second[name] != first[name] for name in first)
    text.write_text("There was a dragon. It slept on its gold, and dreamt of a knight.\n\n" * 30)
    run(*job, **small)
    assert all(records(tmp_path / "sweep")[name] != second[name] for name in second)
