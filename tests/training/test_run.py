"""Training runs on the embedded model, from configuration to SAEs on disk."""

import csv
import gc
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from sae_lens import SAE
from safetensors.torch import load_file

from analogue.cli.train_sae import open_language_model, plan_of, texts_of
from analogue.errors import InvalidArgument, UserError
from analogue.saes import load, sae_fingerprint
from analogue.training.checkpoints import SIGNALS, newest_checkpoint
from analogue.training.module import SAETraining
from analogue.training.pipeline import prepare
from analogue.training.source import ModelSource
from tests.processes import TRAIN_SAE, Process
from tests.training.conftest import SMALL


def start(*overrides, cwd):
    return Process(TRAIN_SAE, *SMALL, *overrides, cwd=cwd)


def kill_midway(output, settings):
    """`kill -9` a run that has written a checkpoint."""
    process = start(*settings, f"output_dir={output}", cwd=output.parent)
    try:
        deadline = time.monotonic() + 300
        while newest_checkpoint(output / "checkpoints") is None:
            assert process.poll() is None, process.stderr
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()


def weights_under(directory):
    found = sorted(directory.rglob("sae_weights.safetensors"))
    return {path.parent.relative_to(directory).as_posix(): load_file(path) for path in found}


def assert_equal_weights(found, expected):
    assert found.keys() == expected.keys() != set()
    for name, tensors in expected.items():
        assert all(torch.equal(found[name][key], value) for key, value in tensors.items())


def test_every_layer_seed_and_width_is_written_as_saelens_reads_it(train, tmp_path):
    chosen = ("layers=[1,3]", "seeds=[0,1]", "expansion_factor=[2,4]")
    trained = train(*chosen, "n_tokens=2048", "evaluation.every_steps=4")
    assert len(trained) == 8
    for each in trained:
        name, quality = each.name, each.quality
        sae = SAE.load_from_disk(tmp_path / "saes" / name)
        layer, seed, width = (int(part.rsplit("_", 1)[1]) for part in name.split("/"))
        assert (sae.cfg.d_in, sae.cfg.d_sae) == (96, width)
        told = sae.cfg.metadata
        assert (told.hook_name, told.seed) == (f"blocks.{layer}.hook_resid_post", seed)
        assert told.explained_variance == pytest.approx(quality.explained_variance, abs=1e-5)
        assert told.cross_entropy_recovered == pytest.approx(quality.cross_entropy_recovered, abs=1e-5)
        assert told.model_name == "embedded:stories-6"
        assert -0.1 < quality.explained_variance < 1
        assert quality.l0 == pytest.approx(16, abs=0.5)
    assert len({each.quality.explained_variance for each in trained}) == 8


def test_one_sae_a_layer_lies_where_compare_looks_for_it(train, compare, tmp_path):
    train("layers=[1,3]", "seeds=[0]", "expansion_factor=[2]", "n_tokens=1024")
    for layer in (1, 3):
        result = compare(f"sae_a.path='{tmp_path}/saes/layer_{{layer}}'", f"layer_a={layer}")
        assert result.side_a.sae_fingerprint == sae_fingerprint(load(path=f"{tmp_path}/saes/layer_{layer}"))


@pytest.mark.parametrize("architecture", ["topk", "standard", "batchtopk", "jumprelu", "gated", "matryoshka"])
def test_every_architecture_trains_in_mixed_precision_too(train, tmp_path, architecture):
    settings = (f"sae={architecture}", "seeds=[0]", "expansion_factor=[2]", "n_tokens=1024")
    settings += ("optimiser.learning_rate=1e-3",)
    (mixed,) = train(*settings, "trainer.precision=bf16-mixed", f"output_dir={tmp_path}/mixed")
    (exact,) = train(*settings)
    for folder in ("mixed", "saes"):
        sae = SAE.load_from_disk(tmp_path / folder / "layer_3")
        assert sae.W_dec.dtype is torch.float32
        assert torch.isfinite(sae.encode(torch.randn(5, 96))).all()
    difference = (mixed.sae.W_dec - exact.sae.W_dec).abs().mean()
    assert 0 < difference < 0.01 * exact.sae.W_dec.abs().mean()  # products of bfloat16 round differently
    assert mixed.quality.explained_variance == pytest.approx(exact.quality.explained_variance, abs=1e-3)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_run_that_is_stopped_goes_on_to_the_same_weights(train, tmp_path, monkeypatch, capsys, number):
    settings = ("layers=[3]", "seeds=[0,1]", "expansion_factor=[2]", "n_tokens=5120")
    train(*settings, f"output_dir={tmp_path}/whole")
    step = SAETraining.training_step

    def interrupted(self, batch, batch_idx):
        if self.global_step == 7:  # within the eighth step
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SAETraining, "training_step", interrupted)
    with pytest.raises(SystemExit) as ended:
        train(*settings)
    monkeypatch.undo()
    assert ended.value.code == 128 + number
    assert "stopped after step 8; the same command with ckpt_path=last goes on" in capsys.readouterr().out
    assert newest_checkpoint(tmp_path / "saes/checkpoints").name == "step=8.ckpt"
    left = sorted(path.name for path in (tmp_path / "saes/unfinished/layer_3").iterdir())
    assert left == ["seed_0", "seed_1"]
    sae = SAE.load_from_disk(tmp_path / "saes/unfinished/layer_3/seed_1")
    assert sae.cfg.metadata.finished is False
    assert sae.cfg.metadata.n_training_tokens == 8 * 256
    shutil.rmtree(tmp_path / "saes/unfinished")
    assert not weights_under(tmp_path / "saes")
    train(*settings, "ckpt_path=last")
    assert_equal_weights(weights_under(tmp_path / "saes"), weights_under(tmp_path / "whole"))


def test_a_run_that_is_stopped_while_it_measures_stops_there(train, tmp_path, monkeypatch):
    settings = ("layers=[3]", "seeds=[0]", "expansion_factor=[2]", "n_tokens=5120", "evaluation.every_steps=4")
    settings += ("evaluation.n_tokens=2048",)
    measured = []
    step = SAETraining.validation_step

    def interrupted(self, batch, batch_idx):
        measured.append(self.global_step)
        if len(measured) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SAETraining, "validation_step", interrupted)
    with pytest.raises(SystemExit) as ended:
        train(*settings)
    monkeypatch.undo()
    assert ended.value.code == 130
    assert measured == [4, 4, 4]  # of eight batches
    assert newest_checkpoint(tmp_path / "saes/checkpoints").name == "step=4.ckpt"
    shutil.rmtree(tmp_path / "saes/unfinished")
    train(*settings, "ckpt_path=last")
    train(*settings, f"output_dir={tmp_path}/whole")
    assert_equal_weights(weights_under(tmp_path / "saes"), weights_under(tmp_path / "whole"))


def test_a_run_that_is_killed_goes_on_to_the_same_weights(train, tmp_path):
    settings = ("layers=[3]", "seeds=[0]", "expansion_factor=[2]", "n_tokens=51200")
    kill_midway(tmp_path / "saes", settings)
    assert not weights_under(tmp_path / "saes")
    train(*settings, "ckpt_path=last")
    train(*settings, f"output_dir={tmp_path}/whole")
    assert_equal_weights(weights_under(tmp_path / "saes"), weights_under(tmp_path / "whole"))


def test_going_on_from_a_checkpoint_gives_the_weights_of_a_run_without_a_break(train, tmp_path):
    settings = ("layers=[1,3]", "seeds=[0,1]", "expansion_factor=[4]", "checkpoints.keep=99")
    train(*settings, f"output_dir={tmp_path}/whole")
    expected = weights_under(tmp_path / "whole")
    checkpoints = sorted((tmp_path / "whole" / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    assert len(checkpoints) >= 5
    for number in (1, 4):
        train(*settings, f"output_dir={tmp_path}/again_{number}", f"ckpt_path='{checkpoints[number]}'")
        assert_equal_weights(weights_under(tmp_path / f"again_{number}"), expected)


def test_the_newest_checkpoints_are_kept(train, tmp_path):
    train("seeds=[0]", "expansion_factor=[2]", "checkpoints.keep=2")
    kept = sorted(int(path.stem.split("=")[1]) for path in (tmp_path / "saes" / "checkpoints").iterdir())
    assert kept == [30, 32]  # the last step's, too


def test_slow_steps_are_kept_by_time(train, tmp_path):
    sizes = ("seeds=[0]", "expansion_factor=[2]", "n_tokens=2048", "checkpoints.every_steps=5", "checkpoints.keep=99")
    for minutes, kept in (("1e-9", range(1, 9)), ("null", [5, 8])):
        train(*sizes, f"checkpoints.every_minutes={minutes}", f"output_dir={tmp_path}/{minutes}")
        names = {path.name for path in (tmp_path / minutes / "checkpoints").iterdir()}
        assert names == {f"step={n}.ckpt" for n in kept}


def test_a_run_whose_last_step_is_on_disk_is_finished_from_there(train, tmp_path):
    settings = ("seeds=[0]", "expansion_factor=[2]", "n_tokens=2560", "checkpoints.every_steps=10", "logger=csv")
    train(*settings, "trainer.log_every_n_steps=5")
    rows = (tmp_path / "saes/csv/metrics.csv").read_text()
    train(*settings, "ckpt_path=last", "checkpoints.keep=2")
    assert (tmp_path / "saes/csv/metrics.csv").read_text() == rows
    assert (tmp_path / "saes/csv/from_step=10/metrics.csv").is_file()
    train(*settings, f"output_dir={tmp_path}/again", f"ckpt_path='{tmp_path}/saes/checkpoints/step=10.ckpt'")
    assert_equal_weights(weights_under(tmp_path / "again"), weights_under(tmp_path / "saes"))


def test_a_row_of_the_log_holds_the_values_of_the_step_it_names(train, tmp_path):
    settings = ("seeds=[0,1]", "expansion_factor=[2]", "n_tokens=4096", "evaluation.every_steps=8", "logger=csv")
    train(*settings, "sae=standard", "trainer.log_every_n_steps=3", "checkpoints.every_steps=4")
    rows = list(csv.DictReader((tmp_path / "saes/csv/metrics.csv").open()))
    of_training = [row for row in rows if row["loss"]]
    assert [int(row["step"]) for row in of_training] == [3, 6, 9, 12, 15]
    for row in of_training:
        parts = [float(value) for key, value in row.items() if key.endswith(("mse_loss", "l1_loss"))]
        assert len(parts) == 4
        assert float(row["loss"]) == pytest.approx(sum(parts), rel=1e-5)
    held_out = [int(row["step"]) for row in rows if row["layer_3/seed_0/held_out/l0"]]
    assert held_out == [8, 16]  # the last step's, once


def test_early_stopping_ends_a_run(train, tmp_path):
    steps = ("n_tokens=8192", "evaluation.every_steps=4", "callbacks.early_stopping.patience=1")
    one = ("seeds=[0]", "expansion_factor=[2]", "callbacks=early_stopping", "callbacks.early_stopping.min_delta=10")
    (trained,) = train(*steps, *one, "checkpoints.keep=9")
    assert trained.sae.cfg.metadata.n_training_tokens == 8 * 256  # of 32 steps; nothing improves by 10
    assert newest_checkpoint(tmp_path / "saes/checkpoints").name == "step=5.ckpt"


def test_the_best_checkpoint_is_kept_and_can_be_loaded(train, tmp_path):
    settings = ("seeds=[0,1]", "expansion_factor=[2]", "n_tokens=4096", "evaluation.every_steps=4", "logger=csv")
    train(*settings, "callbacks=best_checkpoint", f"output_dir={tmp_path}/saes")
    rows = list(csv.DictReader((tmp_path / "saes/csv/metrics.csv").open()))
    names = [f"layer_3/seed_{seed}/held_out/explained_variance" for seed in (0, 1)]
    means = {int(row["step"]): float(row[names[0]]) for row in rows if row[names[0]]}
    for row in rows:
        if row[names[1]]:
            means[int(row["step"])] += float(row[names[1]])
    assert [*means] == [4, 8, 12, 16]
    (best,) = (tmp_path / "saes/best_checkpoint").iterdir()
    assert best.name == f"step={max(means, key=means.get)}.ckpt"
    module = SAETraining.load_from_checkpoint(best, weights_only=True)
    assert [*module.saes] == ["layer_3/seed_0", "layer_3/seed_1"]


def test_the_configuration_chooses_the_optimiser(train, tmp_path):
    one = ("seeds=[0]", "expansion_factor=[2]", "n_tokens=1024")
    (adam,) = train(*one, f"output_dir={tmp_path}/adam")
    (other,) = train(*one, f"output_dir={tmp_path}/other", "optimiser.function._target_=torch.optim.AdamW")
    assert not torch.equal(adam.sae.W_dec, other.sae.W_dec)


def test_held_out_text_is_measured_after_the_last_step_and_once(train, monkeypatch):
    measured, at_end = [], SAETraining.on_validation_epoch_end
    monkeypatch.setattr(
        SAETraining, "on_validation_epoch_end", lambda self: (measured.append(self.global_step), at_end(self))
    )
    train("seeds=[0]", "expansion_factor=[2]", "n_tokens=2560", "evaluation.every_steps=5")
    train("seeds=[0]", "expansion_factor=[2]", "n_tokens=2560", "evaluation.every_steps=7")
    assert measured == [5, 10, 7, 10]


def test_an_sae_that_explains_little_is_warned_of(train, capsys):
    train("seeds=[0]", "expansion_factor=[2]", "n_tokens=512")
    told = capsys.readouterr().err
    assert re.search(r"warning: layer_3 explains .* of the variance of layer 3 of embedded:stories-6: too few", told)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["expansion_factor=[4]"], r"is of a run with expansion_factor=\[2\]"),
        (["seeds=[0,1]"], r"is of a run with seeds=\[0\]"),
        (["sae.settings.k=8"], "is of a run with sae.settings.k=null"),
        (["optimiser.learning_rate=0.1", "seed=1"], "is of a run with optimiser.learning_rate=null, seed=0"),
    ],
)
def test_a_run_of_other_settings_is_not_gone_on_with(train, tmp_path, overrides, told):
    settings = ("seeds=[0]", "expansion_factor=[2]", "n_tokens=1280")
    train(*settings)
    given = [each for each in settings if each.split("=")[0] not in str(overrides)]
    with pytest.raises(UserError, match=f"ckpt_path=.*step=5.ckpt: {told}; go on with that"):
        train(*given, *overrides, "ckpt_path=last")


def test_what_is_no_checkpoint_is_one_sentence(train, tmp_path):
    (tmp_path / "some.ckpt").write_text("garbage")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    for name in ("some", "other"):
        with pytest.raises(
            UserError, match=rf"ckpt_path=.*{name}.ckpt: is no checkpoint of analogue train-sae"
        ) as error:
            train(f"ckpt_path={tmp_path}/{name}.ckpt")
        assert "\n" not in str(error.value)


def test_the_last_checkpoint_is_the_one_written_last(tmp_path):
    for name in ("step=30.ckpt", "step=10.ckpt", "step=best.ckpt", ".step=40.ckpt.tmp"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "step=30.ckpt", (1, 1))
    assert newest_checkpoint(tmp_path) == tmp_path / "step=10.ckpt"


def test_cached_activations_train_as_live_ones(train, tmp_path):
    one = ("seeds=[0]", "expansion_factor=[2]", "n_tokens=1024")
    live = train(*one, f"output_dir={tmp_path}/live")
    cached = [
        train(*one, f"output_dir={tmp_path}/{name}", "data.activations=cached", f"data.cache_dir={tmp_path}/cache")
        for name in ("first", "second")
    ]
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1
    assert_equal_weights(weights_under(tmp_path / "first"), weights_under(tmp_path / "second"))
    for again in cached:
        assert again[0].quality.explained_variance == pytest.approx(live[0].quality.explained_variance, abs=1e-3)


@pytest.mark.parametrize("overrides", [[], ["optimiser.learning_rate=1e20"]])
def test_a_job_leaves_neither_its_model_nor_signal_handlers(train, overrides):
    before = [signal.getsignal(number) for number in SIGNALS]
    with suppress(UserError):
        train("seeds=[0]", "expansion_factor=[2]", "n_tokens=6400", *overrides)
    gc.collect()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert not [each for each in gc.get_objects() if type(each) is SAETraining]


def test_text_that_ends_early_is_read_again_with_a_warning(train, tmp_path, capsys):
    (tmp_path / "short.txt").write_text("\n\n".join(f"Once there was a dog named {n}." for n in range(40)))
    train("seeds=[0]", "expansion_factor=[2]", "n_tokens=2048", f"data.path={tmp_path}/short.txt")
    pattern = r"data.path holds (\d+) tokens that count, n_tokens=2,048: the text is read ([\d.]+) times"
    found = re.search(pattern, capsys.readouterr().err)
    assert found is not None
    assert float(found[2]) == pytest.approx(2048 / int(found[1]), rel=0.01)


@pytest.mark.filterwarnings("error::analogue.errors.AnalogueWarning")
@pytest.mark.parametrize("excluded", ["data.exclude_bos=true", "data.exclude_special=true"])
def test_tokens_that_do_not_count_are_made_up_for_by_more_of_the_text(compose_config, excluded):
    small = [each for each in SMALL if "seq_len" not in each]
    config = OmegaConf.to_object(compose_config("train_sae", *small, "data.seq_len=8", excluded, "output_dir=none"))
    _, data = prepare(plan_of(config), open_language_model(config), *texts_of(config))
    ids, counted = data.training.ids, data.training.counted
    assert 8192 <= counted.sum() < 8192 + 200
    assert not counted.all()
    assert not counted[ids == 0].any()  # the end of a text
    assert counted[:, 0].any() == ("special" in excluded)


def test_the_first_token_can_be_left_out(train, compose_config):
    cfg = compose_config("train_sae", *SMALL, "data.exclude_bos=true", "output_dir=none")
    config = OmegaConf.to_object(cfg)
    _, data = prepare(plan_of(config), open_language_model(config), *texts_of(config))
    held_out = data.held_out_text()
    counted, ids = held_out.counted, held_out.ids
    assert not counted[:, 0].any()
    assert not counted[ids == 0].any()
    assert counted[:, 1:].float().mean() > 0.9


def test_text_without_a_token_that_counts_is_refused(train, tmp_path):
    (tmp_path / "words.txt").write_text(".\n\n.")
    with pytest.raises(UserError, match=r"data.path=.*words.txt: holds no token that counts"):
        train(f"data.path={tmp_path}/words.txt", "data.packing=false", "data.exclude_bos=true")


def test_no_held_out_token_is_measured_twice(compose_config, tmp_path):
    (tmp_path / "short.txt").write_text("\n\n".join(f"Once there was a dog named {n}." for n in range(100)))
    given = (f"data.held_out_path={tmp_path}/short.txt", "evaluation.n_tokens=100000000", "output_dir=none")
    small = [each for each in SMALL if "evaluation.n_tokens" not in each]
    config = OmegaConf.to_object(compose_config("train_sae", *small, *given))
    _, data = prepare(plan_of(config), open_language_model(config), *texts_of(config))
    assert len(data.held_out_stream(0, 1)) <= max(1, 1200 // 256)
    with pytest.raises(InvalidArgument, match=r"trainer.devices=1000: is more than the text's \d+ sequences"):
        data.held_out_stream(999, 1000)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["layers=[6]"], "layers=6: embedded:stories-6 has blocks 0 to 5"),
        (["layers=[]"], "layers=.*at least one"),
        (["seeds=[1,1]"], "seeds=.*names 1 twice; name it once"),
        (["sae.settings.k=9999"], "sae.settings.k=9999: must lie between 1 and"),
        (["sae.settings.k=0"], "sae.settings.k=0"),
        (["sae.settings.k=ten"], "sae.settings.k=ten: is not a whole number"),
        (["dead_after_tokens=0"], "dead_after_tokens=0"),
        (["upload.repository=???"], "upload.repository=.*has no value"),
        (["sae=batchtopk", "trainer.devices=2"], "trainer.devices=2: batchtopk chooses features over a whole batch"),
        (["trainer.devices=999"], "trainer.devices=999: this machine's cores serve at most"),
        (["data.activations=cached", "data.cache_dir=/dev/null"], "data.cache_dir=/dev/null: cannot be written to"),
        (["sae.architecture=what"], "sae.architecture=what: is not known to SAELens"),
        (["n_tokens=10"], "n_tokens=10: is less than one batch"),
        (["optimiser.learning_rate=0"], "optimiser.learning_rate=0"),
        (["optimiser.decay_fraction=2"], "optimiser.decay_fraction=2"),
        (["checkpoints.keep=0"], "checkpoints.keep=0"),
        (["data.path=nothing.txt"], "data.path=nothing.txt"),
        (["data.held_out_path=nothing.txt"], "data.held_out_path=nothing.txt"),
        (["ckpt_path=last"], "ckpt_path=last: is not there"),
        (["ckpt_path=no.ckpt"], "ckpt_path=no.ckpt: is not there"),
        (["output_dir=/dev/null/x"], "output_dir=/dev/null/x: cannot be written to"),
        (["model.dtype=half"], "model.dtype=half: is not a precision"),
        (
            ["trainer.precision=bf16-true"],
            "trainer.precision=bf16-true: converts the weights of all modules; use 32-true",
        ),
        (["trainer.log_every_n_steps=0"], "trainer.log_every_n_steps=0: must be a whole number"),
        (["+trainer.max_steps=3"], "trainer.max_steps=3: is decided by n_tokens"),
        (["+trainer.callbacks=[x]"], "trainer.callbacks=.*: is decided by callbacks"),
        (["+callbacks.mine._target_=lightning.Nothing"], "callbacks.mine=.*: cannot be made"),
        (["+callbacks.mine._target_=builtins.dict"], "callbacks.mine=.*: is not a Lightning callback"),
        (["optimiser.function._target_=torch.optim.Nothing"], "optimiser.function=.*: cannot be made"),
        (["+optimiser.function.speed=9"], "optimiser.function=.*: cannot be made"),
        (["seed=18446744073709551615"], "seed=18446744073709551615: must be at most"),
        (["seeds=[18446744073709551615]"], "seeds=18446744073709551615: must be at most"),
        (["optimiser.learning_rate=inf"], "optimiser.learning_rate=inf: must be above 0, and within"),
        (["optimiser.learning_rate=1e20", "n_tokens=1024"], r"optimiser.learning_rate=.* at step 4"),
        (["optimiser.learning_rate=1e20"], r"optimiser.learning_rate=.* at step \d+"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_writes_no_sae(train, tmp_path, overrides, told):
    with pytest.raises(UserError, match=told) as error:
        train(*overrides)
    assert "\n" not in str(error.value)
    assert not weights_under(tmp_path)


@pytest.mark.parametrize(
    ("first_pass", "more"),  # within the sample that the SAE starts from, or long after it
    [(0, ["data.activations=cached"]), (20, []), (20, ["data.exclude_outliers=null", "sae=standard"])],
)
def test_a_model_that_puts_out_nan_is_named_and_not_the_learning_rate(train, tmp_path, monkeypatch, first_pass, more):
    read, passes = ModelSource.__call__, count()

    def overflowing(self, sequences):
        found = read(self, sequences)
        if next(passes) >= first_pass:
            found[3][5, 7] = float("inf")
        return found

    monkeypatch.setattr(ModelSource, "__call__", overflowing)
    problem = r"puts out values that are not finite after block 3 in float32; choose another model.dtype"
    with pytest.raises(UserError, match=rf"^model.name=embedded:stories-6: {problem}"):
        train("seeds=[0]", "expansion_factor=[2]", f"data.cache_dir={tmp_path}/cache", *more)


def test_a_full_disk_leaves_the_checkpoint_before(train, tmp_path, monkeypatch):
    written = []
    write = Path.write_bytes

    def full(self, data):
        if len(written) == 2:
            write(self, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        written.append(self)
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"output_dir=.*No space left.*ckpt_path=last goes on"):
        train("seeds=[0]", "expansion_factor=[2]", "checkpoints.keep=1")
    left = newest_checkpoint(tmp_path / "saes" / "checkpoints")
    torch.load(left, weights_only=True)
    monkeypatch.undo()
    train("seeds=[0]", "expansion_factor=[2]", "ckpt_path=last")
    assert weights_under(tmp_path / "saes")


def test_a_run_goes_on_with_the_text_it_began_with(train, tmp_path):
    text = tmp_path / "text.txt"
    settings = ("layers=[3]", "seeds=[0]", "expansion_factor=[2]", "n_tokens=2560", "data=text", f"data.path={text}")
    settings += ("data.held_out_path=embedded:stories/heldout.parquet", "evaluation.every_steps=5")
    text.write_text("Once upon a time there was a fox. It lived in a wood, by a river.\n\n" * 50)
    train(*settings)
    text.write_text("There was a dragon. It slept on its gold, and dreamt of a knight.\n\n" * 50)
    with pytest.raises(UserError, match=r"^data.path=\S+: holds something else than when the checkpoint"):
        train(*settings, "ckpt_path=last")


def test_what_an_earlier_run_left_is_replaced_with_a_warning(train, tmp_path, capsys):
    one = ("seeds=[0]", "expansion_factor=[2]", "n_tokens=512", f"output_dir={tmp_path}/saes")
    train(*one)
    assert "earlier run" not in capsys.readouterr().err
    unfinished = tmp_path / "saes" / "unfinished" / "layer_3"
    unfinished.mkdir(parents=True)
    train(*one)
    assert f"warning: {tmp_path}/saes holds SAEs of an earlier run, which this one replaces" in capsys.readouterr().err
    assert not unfinished.parent.exists()
