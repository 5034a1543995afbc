"""What reaches W&B and the CSV logger, read back from their own files."""

import csv
import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import wandb
import yaml
from omegaconf import OmegaConf

from analogue.cli.logger import configured_logger
from analogue.reporting.tracking import flat_metrics, log_comparison, log_or_warn, wandb_logger
from analogue.results import read_results
from tests.reporting.wandb_runs import read_runs
from tests.results.samples import sample_result, sample_transfer


@pytest.fixture(autouse=True)
def fresh_wandb():
    """W&B reads its environment once per process."""
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture(scope="module")
def runs(sweep):
    return {run.name or run.job_type: run for run in read_runs(sweep.directory)}


def test_a_run_for_each_job_and_one_for_the_sweep_in_one_group(runs):
    assert set(runs) == {"stories-6 vs stories-12 1-4", "stories-6 vs stories-12 2-4", "sweep"}
    assert {run.group for run in runs.values()} == {"runs/first"}
    assert [run.job_type for run in runs.values()].count("compare") == 2


def test_a_jobs_configuration_is_flat(runs):
    run = runs["stories-6 vs stories-12 1-4"]
    assert run.tags == ("stories-6 vs stories-12", "layers 1-4", "a_to_b")
    expected = {"layer_a": 1, "layer_b": 4, "pair": "stories-6 vs stories-12", "filters.one_to_one": "best"}
    assert expected.items() <= run.config.items()
    assert not any(isinstance(value, dict) for name, value in run.config.items() if name != "_wandb")
    assert not any(name.startswith(("output_dir", "logger", "cache", "sweep")) for name in run.config)


def test_a_jobs_scores_funnel_and_pairs_are_those_of_its_record(runs, sweep):
    run, result = runs["stories-6 vs stories-12 1-4"], read_results(sweep.directory)[0]
    for entry in result.similarity:
        assert run.history[f"{entry['metric']}/paired"] == entry["score"]
        assert run.history[f"{entry['metric']}/null_mean"] == entry["null_mean"]
        assert run.history[f"{entry['metric']}/p"] == entry["p_value"]
    assert run.history["pairs/kept"] == result.n_kept
    assert run.history["correlation/mean"] == result.correlation["mean"]
    assert run.table("funnel") == result.funnel
    logged = run.table("pairs")
    kept = [row for row in pq.read_table(sweep.directory / "0" / "pairs.parquet").to_pylist() if row["kept"]]
    assert [(row["feature_a"], row["feature_b"]) for row in logged] == [
        (row["feature_a"], row["feature_b"]) for row in kept
    ]
    assert logged[0]["top_tokens_a"] == " | ".join(kept[0]["top_tokens_a"])
    assert sorted(run.artifacts["comparison"]) == ["pairs.parquet", "result.json"]


def test_the_sweeps_own_run_holds_results_figures_and_page(runs, sweep):
    run = runs["sweep"]
    assert len(run.table("results")) == 6  # two jobs, three metrics
    assert run.history["heatmaps/count"] == 4
    drawn = json.loads((run.directory / "files" / run.history["grid 0/svcca, paired score/path"]).read_text())
    assert drawn["data"][0]["z"] == [[read_results(sweep.directory)[i].similarity[0]["score"]] for i in (0, 1)]
    assert sorted(run.artifacts["report"]) == ["report.html", "results.csv", "results.parquet"]


@pytest.mark.parametrize(
    ("environment", "netrc", "offline"),
    [
        ({}, "", True),
        ({}, f"machine elsewhere login user password {'0' * 40}\n", True),
        ({}, f"machine api.wandb.ai login user password {'0' * 40}\n", False),
        ({"WANDB_API_KEY": "0" * 40}, "", False),
        ({"WANDB_MODE": "online"}, "", False),
    ],
)
def test_offline_unless_logged_in_or_told(monkeypatch, tmp_path, environment, netrc, offline):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environment | {"HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".netrc").write_text(netrc)
    (tmp_path / ".netrc").chmod(0o600)
    logger = wandb_logger("analogue", str(tmp_path), init_timeout=1)
    assert logger._offline is offline


def test_a_mode_that_w_and_b_does_not_know_is_named(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("WANDB_MODE", "bogus")
    settings = {"project": "analogue", "save_dir": str(tmp_path), "mode": None, "sweep_dir": "", "init_timeout": 1}
    target = {"_target_": "analogue.cli.logger.wandb_logger"}
    log_or_warn(partial(configured_logger, OmegaConf.create(target | settings)), lambda logger: None)
    assert capfd.readouterr().err == (
        "warning: not logged (WANDB_MODE=bogus: is no mode of W&B; choose online, offline or disabled, or unset it); "
        "the result files are complete\n"
    )


def test_a_server_that_is_gone_costs_one_line(monkeypatch, tmp_path, capfd, compare):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = ("logger.mode=null", "logger.sweep_dir=x", "logger.job_type=compare", "logger.init_timeout=1")
    result = compare("logger=wandb", *settings)
    assert read_results(tmp_path / "run") == [result]
    warnings = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: not logged")]
    assert len(warnings) == 1
    assert warnings[0].endswith("the result files are complete")


@pytest.fixture
def server():
    """Answers every request with 404, or with nothing at all; counts those who come."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = SimpleNamespace(url=f"http://127.0.0.1:{listening.getsockname()[1]}", came=[], answer=b"")

        def serve():
            with suppress(OSError):
                while True:
                    asking, _ = listening.accept()
                    found.came.append(asking)
                    if found.answer:
                        asking.sendall(found.answer)
                        asking.close()

        threading.Thread(target=serve, daemon=True).start()
        yield found
        for asking in found.came:
            asking.close()


def jobs_of(server, monkeypatch, tmp_path, capfd, n=3):
    """What loggers of that server say, one per job of a process, and how long it took."""
    environment = {"WANDB_MODE": "online", "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": server.url}
    environment["HOME"] = str(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    for _ in range(n):
        log_or_warn(partial(wandb_logger, "analogue", str(tmp_path), init_timeout=2), lambda logger: logger.experiment)
    return capfd.readouterr().err.splitlines(), time.monotonic() - began


def test_a_server_that_does_not_answer_is_asked_once_per_process(server, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr("analogue.reporting.tracking.ANSWERS_WITHIN_S", 1.0)
    said, seconds = jobs_of(server, monkeypatch, tmp_path, capfd)
    assert len(server.came) == 1
    assert len(said) == 3
    assert all("does not answer within 1 s; W&B's server is asked once per process" in line for line in said)
    assert 1 <= seconds < 3


def test_a_server_that_answers_and_then_fails_is_not_asked_again(server, monkeypatch, tmp_path, capfd):
    server.answer = b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    said, _ = jobs_of(server, monkeypatch, tmp_path, capfd)
    assert len(said) == 3
    assert "CommError" in said[0]
    assert all("failed in an earlier job (" in line for line in said[1:])


def test_a_logger_that_fails_half_way_leaves_no_run_open(monkeypatch, tmp_path, capfd, sweep):
    monkeypatch.setenv("WANDB_MODE", "offline")
    result, table = read_results(sweep.directory)[0], pq.read_table(sweep.directory / "0" / "pairs.parquet")
    log = partial(log_comparison, result=result, pairs=table, directory=tmp_path / "gone")
    log_or_warn(partial(wandb_logger, "analogue", str(tmp_path), init_timeout=5), log)
    assert "warning: not logged" in capfd.readouterr().err
    assert wandb.run is None


def test_the_csv_logger_gets_scores_and_configuration(compare, tmp_path):
    result = compare("logger=csv")
    (metrics,) = csv.DictReader((tmp_path / "run" / "csv" / "metrics.csv").open())
    for entry in result.similarity:
        assert float(metrics[f"{entry['metric']}/paired"]) == entry["score"]
    assert float(metrics["pairs/kept"]) == result.n_kept
    settings = yaml.safe_load((tmp_path / "run" / "csv" / "hparams.yaml").read_text())
    assert settings["layer_a"] == 3
    assert settings["filters.minimum_correlation"] == 0.1


def test_what_features_do_in_the_other_model_is_among_the_scalars():
    metrics = flat_metrics(replace(sample_result(), transfer=sample_transfer()))
    assert metrics["transfer/maps/a_to_b/explained_variance"] == 0.7
    assert metrics["transfer/dictionaries/a_on_b/cross_entropy_recovered/own"] == 0.986
    assert metrics["transfer/interventions/steering/partner/top_1"] == 0.475
    assert metrics["transfer/hard_negatives/ablation/beaten"] == 0.857
    assert "transfer/dictionaries/a_on_b/raw" not in metrics
    assert not [name for name in flat_metrics(sample_result()) if name.startswith("transfer")]
