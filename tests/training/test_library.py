"""`train` in somebody else's program: SAEs come back; nothing is written, printed or changed unless asked for."""

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from sae_lens import SAE
from transformers import AutoModelForCausalLM, AutoTokenizer

from analogue.embedded import locate
from analogue.errors import ArgumentError, InvalidArgument
from analogue.settings import Side
from analogue.training import Buffer, Checkpoints, Evaluation, Optimiser, train
from analogue.training.module import SAETraining
from analogue.training.sae import inference_sae
from tests.training.test_run import assert_equal_weights, weights_under

NAME = "embedded:stories-6"
SMALL = {
    "expansion_factor": (2,),
    "n_tokens": 2048,
    "batch_tokens": 256,
    "seq_len": 64,
    "buffer": Buffer(2048, 4),
    "evaluation": Evaluation(every_steps=4, n_tokens=512, n_sequences=2),
    "device": "cpu",
    "progress": False,
}


def test_saes_come_back_and_nothing_is_left_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    generator = torch.get_rng_state()
    trained = train(NAME, [1, 3], seeds=[0, 1], **SMALL)
    assert torch.equal(torch.get_rng_state(), generator)
    assert [each.name for each in trained] == [f"layer_{layer}/seed_{seed}" for layer in (1, 3) for seed in (0, 1)]
    for each in trained:
        assert isinstance(each.sae, SAE)
        assert each.sae.W_dec.shape == (each.d_sae, 96) == (192, 96)
        assert f"layer_{each.layer}/seed_{each.seed}" == each.name
        acts = each.sae.encode(torch.randn(5, 96))
        assert 0 < int((acts > 0).sum(1).max()) <= 16
        assert each.quality.n_tokens == 512
    assert not list(tmp_path.rglob("*"))
    assert capfd.readouterr() == ("", "")


def test_a_model_and_texts_may_be_objects(tmp_path):
    texts = [f"Once there was a dog named {n}. It ran to the park and played." for n in range(300)]
    model = AutoModelForCausalLM.from_pretrained(locate(NAME, "model"), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(locate(NAME, "model"))
    (of_object,) = train(model, [3], tokenizer=tokenizer, corpus=texts, held_out=texts[:50], **SMALL)
    (tmp_path / "texts.txt").write_text("\n\n".join(texts))
    (tmp_path / "few.txt").write_text("\n\n".join(texts[:50]))
    paths = {"corpus": tmp_path / "texts.txt", "held_out": tmp_path / "few.txt"}
    (of_name,) = train(NAME, [3], **paths, **SMALL)
    assert torch.equal(of_object.sae.W_dec, of_name.sae.W_dec)
    assert of_object.quality == of_name.quality


@pytest.mark.filterwarnings("ignore:layer_3 explains")
def test_saes_of_a_site_are_trained_on_it_and_replaced_there():
    of_stream, of_mlp = (train(NAME, [3], hook=hook, **SMALL)[0] for hook in ("resid_post", "mlp_out"))
    assert of_mlp.sae.cfg.metadata.hook_name == "blocks.3.hook_mlp_out"
    assert not torch.equal(of_mlp.sae.W_dec, of_stream.sae.W_dec)
    assert of_mlp.quality.cross_entropy_recovered != of_stream.quality.cross_entropy_recovered
    with pytest.raises(InvalidArgument, match=r"^hook=attn_z: cannot be replaced .* trained on resid_pre, resid_post"):
        train(NAME, [3], hook="attn_z", **SMALL)


def test_what_is_saved_is_what_came_back(tmp_path):
    (trained,) = train(NAME, [3], architecture="batchtopk", output_dir=tmp_path / "saes", **SMALL)
    trained.save(tmp_path / "again")
    resid = torch.randn(5, 96)
    for folder in ("saes/layer_3", "again"):
        loaded = SAE.load_from_disk(tmp_path / folder)
        assert loaded.cfg.architecture() == trained.sae.cfg.architecture() == "jumprelu"
        assert torch.equal(loaded.encode(resid), trained.sae.encode(resid))
        assert loaded.cfg.metadata.n_training_tokens == 2048
    assert sorted(path.name for path in (tmp_path / "saes").rglob("*")) == [
        "cfg.json",
        "layer_3",
        "sae_weights.safetensors",
        "training.log",
    ]


def test_where_no_bar_is_seen_a_line_per_logged_step_is_printed_and_kept(tmp_path, capfd):
    (trained,) = train(NAME, [3], output_dir=tmp_path, **SMALL | {"progress": True, "n_tokens": 5120})
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("1 SAE (topk): 20 steps of 256 tokens")
    (step,) = [line for line in said if line.startswith("step 20 of 20, 5,120 tokens: EV ")]
    assert step in (tmp_path / "training.log").read_text()
    assert Side(NAME, 3, trained).sae is trained.sae


def test_a_run_goes_on_from_a_checkpoint(tmp_path):
    places = {"checkpoints": Checkpoints(tmp_path / "checkpoints", every_steps=3, keep=9)}
    train(NAME, [3], output_dir=tmp_path / "whole", **places, **SMALL)
    train(NAME, [3], output_dir=tmp_path / "resumed", ckpt_path=tmp_path / "checkpoints/step=3.ckpt", **SMALL)
    assert_equal_weights(weights_under(tmp_path / "resumed"), weights_under(tmp_path / "whole"))


def test_the_optimiser_is_the_caller_s():
    sgd = Optimiser(learning_rate=1e-6, function=torch.optim.SGD)
    (trained,), (other,) = train(NAME, [3], optimiser=sgd, **SMALL), train(NAME, [3], **SMALL)
    assert not torch.equal(trained.sae.W_enc, other.sae.W_enc)
    with pytest.raises(InvalidArgument, match=r"^optimiser.function=.*cannot be made"):
        train(NAME, [3], optimiser=Optimiser(function=lambda parameters: None), **SMALL)


def test_callbacks_monitor_what_is_logged():
    class Seen(L.Callback):
        def on_train_batch_end(self, trainer, *args):
            self.in_training = dict(trainer.callback_metrics)

        def on_validation_end(self, trainer, pl_module):
            self.steps = trainer.global_step
            self.metrics = dict(trainer.callback_metrics)

    seen = Seen()
    stop = EarlyStopping("layer_3/held_out/explained_variance", mode="max", patience=1, min_delta=10.0)
    given = SMALL | {"n_tokens": 5120 + 256}
    (trained,) = train(NAME, [3], callbacks=[seen, stop], **given)
    assert seen.steps == 8  # stopped at the second measurement, of 5
    metrics = {name: float(value) for name, value in seen.metrics.items()}
    assert metrics["layer_3/held_out/explained_variance"] == pytest.approx(trained.quality.explained_variance)
    assert metrics["held_out/explained_variance"] == pytest.approx(trained.quality.explained_variance)
    assert trained.sae.cfg.metadata.n_training_tokens == 8 * 256


def test_a_trainer_may_be_given():
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    given = {name: value for name, value in SMALL.items() if name not in ("device", "progress")}
    trainer = L.Trainer(max_epochs=1, log_every_n_steps=2, enable_model_summary=False, **quiet)
    (trained,) = train(NAME, [3], trainer=trainer, **given)
    (same,) = train(NAME, [3], **SMALL)
    assert torch.equal(trained.sae.W_dec, same.sae.W_dec)
    with pytest.raises(InvalidArgument, match=r"trainer.max_epochs=3: .* give 1: `n_tokens` decides"):
        train(NAME, [3], trainer=L.Trainer(max_epochs=3, **quiet), **given)
    with pytest.raises(InvalidArgument, match=r"callbacks=.* belong to the `trainer`"):
        train(NAME, [3], trainer=trainer, callbacks=[L.Callback()], **given)


@pytest.mark.parametrize("architecture", ["topk", "standard", "jumprelu", "matryoshka_batchtopk"])
def test_a_module_is_loaded_from_its_checkpoint(tmp_path, architecture):
    places = {"checkpoints": Checkpoints(tmp_path, every_steps=8)}
    (trained,) = train(NAME, [3], architecture=architecture, **places, **SMALL)
    generator = torch.get_rng_state()
    module = SAETraining.load_from_checkpoint(tmp_path / "step=8.ckpt", weights_only=True)
    assert torch.equal(torch.get_rng_state(), generator)
    each = module.saes["layer_3"]
    assert (each.layer, each.sae.cfg.architecture()) == (3, architecture)
    assert not each.input_scale.isnan()
    assert_equal_weights(
        {"layer_3": inference_sae(each.finish(), {}).state_dict()}, {"layer_3": trained.sae.state_dict()}
    )


def test_texts_that_cannot_be_read_are_named_by_their_argument():
    for name in ("corpus", "held_out"):
        with pytest.raises(ArgumentError, match=rf"^{name}=nothing.txt: is not a file"):
            train(NAME, [3], **{"corpus": ["a text"], "held_out": ["a text"], name: "nothing.txt"}, **SMALL)
