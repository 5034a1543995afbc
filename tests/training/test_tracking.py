"""What training sends to W&B, read back from the offline run's own files."""

import json

import pytest
import wandb

from analogue.cli.train_sae import train_saes
from analogue.saes import load, sae_fingerprint
from tests.reporting.wandb_runs import read_runs

SETTINGS = ("logger.mode=null", "logger.sweep_dir=x", "logger.job_type=train_sae", "logger.init_timeout=1")
SMALL = (
    "n_tokens=12288",
    "batch_tokens=256",
    "buffer.tokens=1024",
    "data.seq_len=64",
    "seeds=[0,1]",
    "expansion_factor=[2]",
    "evaluation.every_steps=8",
    "evaluation.n_tokens=512",
    "evaluation.n_sequences=2",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.log_every_n_steps=1",
)


@pytest.fixture(autouse=True)
def fresh_wandb():
    """W&B reads its environment once a process."""
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def train(compose_config, tmp_path):
    def run(*overrides):
        place = f"output_dir={tmp_path}/saes"
        return train_saes(compose_config("train_sae", *SMALL, *SETTINGS, "logger=wandb", place, *overrides))

    return run


def test_losses_quality_density_and_saes_reach_wandb(train, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    trained = {each.name: each.quality for each in train()}
    (run,) = read_runs(tmp_path)
    assert run.job_type == "train_sae"
    assert {"loss", "tokens_per_second"} <= run.history.keys()
    for name in ("layer_3/seed_0", "layer_3/seed_1"):
        logged = {key.removeprefix(f"{name}/") for key in run.history if key.startswith(name)}
        assert {"mse_loss", "explained_variance", "l0", "dead_features", "gradient_norm"} <= logged
        explained = pytest.approx(trained[name].explained_variance, abs=1e-6)  # logged in float32
        assert run.history[f"{name}/held_out/explained_variance"] == explained
        recovered = pytest.approx(trained[name].cross_entropy_recovered)
        assert run.history[f"{name}/held_out/cross_entropy_recovered"] == recovered
        assert run.history[f"{name}/log10_density/_type"] == "histogram"
        assert 0 < sum(run.history[f"{name}/log10_density/values"]) <= 192
        assert sae_fingerprint(load(path=str(tmp_path / "saes" / name)))[:16] in run.artifact_names["sae"].pop(0)
    assert run.config["sae.architecture"] == "topk"


def test_the_next_job_of_a_process_has_a_run_of_its_own(train, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for seed in (0, 1):
        train(f"seeds=[{seed}]", "n_tokens=512")
    assert len(read_runs(tmp_path)) == 2


def test_a_server_that_is_gone_costs_one_line(train, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("HOME", str(tmp_path))
    train("n_tokens=512")
    assert capfd.readouterr().err.count("warning: nothing is logged") == 1
    metadata = json.loads((tmp_path / "saes/layer_3/seed_0/cfg.json").read_text())["metadata"]
    assert metadata["explained_variance"] is not None
