"""`universality.py` on the embedded models: what it finds, writes and says, and that it goes on after a kill."""

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest

import analogue
from analogue import Clustering, Corpus, Null, Side
from analogue.cli.universality import run_universality
from analogue.errors import InvalidArgument, UserError
from analogue.matching import mutual
from analogue.settings import STORIES
from tests.processes import UNIVERSALITY, Process, run

SMALL = (
    "data.n_sequences=24",
    "data.seq_len=100",
    "clusters.n_draws=20",
    "clusters.n_resamples=2",
    "clusters.n_null=2",
)
QUIET = ("null.n=9", "metrics=[rsa]", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "logger=none")
LAYERS = ("experiment=layers", "vary.layer=[4,5,6]")


@pytest.fixture
def study(compose_config, activation_cache, tmp_path):
    def run(*overrides):
        places = (f"output_dir={tmp_path}/out", f"cache.dir={activation_cache}")
        return run_universality(compose_config("universality", *SMALL, *QUIET, *places, *overrides))

    return run


def test_layers_of_a_model(study, tmp_path):
    found = study(*LAYERS)
    record = found.record
    assert record.names == ["layer 4", "layer 5", "layer 6"]
    assert set(record.n_clusters) == {"2", "3"}
    assert record.n_clusters["3"] > 50
    for space, row in zip(record.spaces, record.spectrum, strict=True):
        assert sum(row) == space.n_live_features
    assert (
        np.sum(record.spectrum_by_chance["mean"], axis=0)[1:].sum() < 0.05 * np.sum(record.spectrum, axis=0)[1:].sum()
    )
    assert len(record.changes) == 2
    assert 0 < record.matrices["matched"][0][1] < 1
    assert record.matrices["rsa"][0][1] == record.matrices["rsa"][1][0]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {"clusters.parquet", "features.parquet", "spaces.parquet"}
    figures = {f"{name}.{kind}" for name in ("spectrum", "matrices", "tree", "flow") for kind in ("png", "pdf")}
    assert written == {"universality.json", "universality.html"} | tables | figures
    clusters = pd.read_parquet(tmp_path / "out" / "clusters.parquet")
    assert clusters.groupby("cluster").space.nunique().eq(clusters.groupby("cluster")["size"].first()).all()
    assert clusters.stability.between(0, 1).all()
    assert (clusters.size_low <= clusters.size_high).all()
    assert analogue.Universality.load(tmp_path / "out").record.to_json() == record.to_json()


def test_a_second_run_takes_everything_from_the_store(study, activation_cache):
    first = study(*LAYERS).record
    again = study(*LAYERS).record
    assert again.n_model_passes == 0
    assert again.timings["pairs"] < 2
    assert again.spectrum == first.spectrum
    assert again.matrices == first.matrices


def test_copies_of_a_space_share_every_live_feature(study):
    one = "{model: embedded:stories-6, layer: 3, sae: embedded:stories-6-saes/layer_3, name: %s}"
    found = study("experiment=models", f"spaces=[{one % 'x'},{one % 'y'},{one % 'z'}]")
    rest = found.features[found.features.kind != "shared"]
    assert set(rest.kind) <= {"undetermined"}  # in 24 sequences, one that fires in one of them has p = 1 / 24
    assert rest.n_active.max() <= 20
    assert len(rest) <= 0.02 * len(found.features)
    assert found.record.n_clusters == {"2": 0, "3": (len(found.features) - len(rest)) // 3}
    assert np.allclose(found.clusters.correlation, 1.0)
    assert found.record.matrices["pw_mcc"][0][1] == pytest.approx(1.0)
    assert any("are one space" in warning for warning in found.record.warnings)


def test_two_spaces_are_paired_as_mutual_does(study, compare):
    found = study("experiment=models", "alignment=tokens")
    corpus = ("data.n_sequences=24", "data.seq_len=100")
    compare(*corpus, "matching=mutual", "filters=none", "metrics=[rsa]")
    from analogue.comparison import collect_activations, open_side, tokenise_corpus

    a = open_side(Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_3"), "a")
    b = open_side(Side("embedded:stories-12", 6, "embedded:stories-12-saes/layer_6"), "b")
    text = tokenise_corpus(Corpus(STORIES.path, packing=True, n_sequences=24, seq_len=100), a, b)
    acts = collect_activations([a, b], text).activations
    pairs = mutual(acts["a"].activations, acts["b"].activations)
    known = {(x, y): r for x, y, r in zip(pairs.feature_a, pairs.feature_b, pairs.correlation, strict=True)}
    table = found.clusters.pivot(index="cluster", columns="space", values=["feature", "correlation"])
    assert len(table) > 100
    for x, y, r in zip(table["feature"][0], table["feature"][1], table["correlation"][0], strict=True):
        assert known[int(x), int(y)] == pytest.approx(r)


def test_seeds_are_trained_where_they_are_missing(study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ("+train.n_tokens=4096", "vary.seed=[0,1]", "train.expansion_factor=[2]", "+train.logger=none")
    found = study(*few, "+train.evaluation.n_tokens=2000")
    said = capsys.readouterr().out
    assert "saes/seeds/layer_3/seed_0 and 1 more SAEs are not there: training them first" in said
    assert found.record.names == ["seed 0", "seed 1"]
    assert (tmp_path / "saes" / "seeds" / "layer_3" / "seed_1" / "sae_weights.safetensors").is_file()
    assert found.record.matrices["pw_mcc"][0][1] > 0
    study(*few)
    assert "training" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("vary.layer=[4]",), "spaces=1 of them: must be at least two"),
        (("vary.layer=[]",), r"vary.layer=\[\]: names nothing"),
        (("vary.layer=[4,99]",), "spaces.1.layer=99: embedded:stories-12 has blocks 0 to 11"),
        (("space.sae='nowhere/layer_{layer}'",), "spaces.0.sae=nowhere/layer_4: "),
        (("+space.colour=red",), "spaces.0.colour=red: is not a key of a space; choose from name, model, layer"),
        (("clusters.q=2",), "clusters.q=2.0: must lie between 0 and 1"),
        (("data.n_sequences=4",), "data.n_sequences=4: leaves 4 sequences to permute, but 3 spaces need at least 10"),
        (("metrics=[rsaa]",), "metrics=rsaa: unknown metric"),
        (("+space.dtype=float99",), "spaces.0.dtype=float99: is not a precision"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(study, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        study("experiment=layers", "vary.layer=[4,5,6]", *overrides)
    assert not (tmp_path / "out").exists()


def test_spaces_of_other_tokens_are_refused(study):
    other = "{model: gpt2-like, layer: 0, sae: x}"
    with pytest.raises(UserError, match=r"spaces.0.model=gpt2-like: "):
        study("experiment=models", f"spaces=[{other},{other}]")


def test_the_library_s_own_door():
    layers = [Side("embedded:stories-6", i, "embedded:stories-6-saes/layer_{layer}") for i in (2, 3)]
    with pytest.raises(InvalidArgument, match="must be at least two"):
        analogue.universality(layers[:1])
    with pytest.raises(InvalidArgument, match="names="):
        analogue.universality(layers, names=["x", "x"])
    found = analogue.universality(
        layers,
        corpus=Corpus(STORIES.path, packing=True, n_sequences=12, seq_len=64),
        clustering=Clustering(n_draws=10, n_resamples=0, n_null=0),
        null=Null(n=9),
        progress=False,
    )
    assert found.record.names == ["stories-6 layer 2", "stories-6 layer 3"]
    assert found.record.spectrum_by_chance is None
    assert found.clusters.stability.isna().all()
    assert repr(found).startswith("<Universality of 2 spaces: clusters ")
    assert analogue.universality.cluster_features is not None


def test_the_command_trains_what_is_missing(tmp_path):
    """Within a run of Hydra's, another program's configuration is composed."""
    few = ["train.expansion_factor=[2]", "+train.n_tokens=4096", "+train.evaluation.n_tokens=2000", "vary.seed=[0,1]"]
    ended = run(UNIVERSALITY, *SMALL, *QUIET, *few, f"cache.dir={tmp_path}/cache", cwd=tmp_path)
    assert "training them first" in ended.stdout
    assert len([*tmp_path.glob("outputs/*/*/universality.json")]) == 1


def test_a_run_that_was_killed_goes_on(tmp_path):
    arguments = ["experiment=layers", "vary.layer=[2,5,8,11]", *SMALL, *QUIET, "data.n_sequences=60"]
    arguments += ["clusters.n_draws=40"]

    def command(cache, output):
        places = [f"cache.dir={tmp_path}/{cache}", f"output_dir={tmp_path}/{output}"]
        return [UNIVERSALITY, *arguments, *places]

    def pairs():
        return sorted((tmp_path / "cache").glob("*.safetensors"))

    started = Process(*command("cache", "out"), cwd=tmp_path)
    deadline = time.monotonic() + 240
    while len(pairs()) < 4 + 2 and time.monotonic() < deadline and started.poll() is None:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    assert not (tmp_path / "out" / "universality.json").exists()
    kept = {path: path.stat().st_size for path in pairs()}
    inodes = {path: path.stat().st_ino for path in kept}
    run(*command("cache", "out"), cwd=tmp_path)
    assert all(path.stat().st_ino == inode for path, inode in inodes.items())  # none was written again
    run(*command("other", "whole"), cwd=tmp_path)
    one, other = (analogue.Universality.load(tmp_path / name) for name in ("out", "whole"))
    assert one.clusters.equals(other.clusters)
    assert one.record.spectrum == other.record.spectrum
