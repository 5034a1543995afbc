import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig

from analogue.saes import sae_fingerprint, sae_warnings
from analogue.saes.loading import load

EMBEDDED = "embedded:stories-6-saes/layer_{layer}"


def sae_trained_on(hook_name, **settings):
    sae = StandardSAE(StandardSAEConfig(d_in=4, d_sae=8, **settings))
    sae.cfg.metadata.hook_name = hook_name
    return sae


def test_the_fingerprint_follows_weights_and_settings_not_the_place(tmp_path):
    sae = load(path=EMBEDDED, layer=3)
    sae.save_model(tmp_path)
    assert sae_fingerprint(load(path=str(tmp_path))) == sae_fingerprint(sae)
    assert sae_fingerprint(load(path=EMBEDDED, layer=4)) != sae_fingerprint(sae)
    assert sae_fingerprint(load(path=EMBEDDED, layer=3, before_topk=True)) != sae_fingerprint(sae)
    assert sae_fingerprint(load(path=EMBEDDED, layer=3, dtype="bfloat16")) != sae_fingerprint(sae)


def test_the_fingerprint_tells_a_different_k():
    torch.manual_seed(0)
    two, three = (TopKSAE(TopKSAEConfig(d_in=4, d_sae=8, k=k)) for k in (2, 3))
    three.load_state_dict(two.state_dict())
    assert sae_fingerprint(two) != sae_fingerprint(three)


@pytest.mark.parametrize("hook_name", ["blocks.3.hook_resid_post", "layers.3", "h.3", "gpt_neox.layers.3", "", "resid"])
def test_an_sae_used_where_it_was_trained_gives_no_warning(hook_name):
    assert sae_warnings(sae_trained_on(hook_name), 3) == []


@pytest.mark.parametrize(
    ("hook_name", "layer", "hook"),
    [
        ("blocks.3.hook_resid_post", 4, "resid_post"),
        ("blocks.3.hook_resid_post", 3, "resid_pre"),
        ("blocks.3.hook_resid_pre", 3, "resid_post"),
        ("blocks.3.hook_mlp_out", 3, "resid_post"),
        ("layers.3.mlp", 3, "resid_post"),
        ("layers.3", 5, "resid_post"),
        ("embed_tokens", 0, "resid_post"),
        ("layers.3.attention.query_key_value", 3, "resid_post"),
    ],
)
def test_another_layer_or_hook_is_told(hook_name, layer, hook):
    assert sae_warnings(sae_trained_on(hook_name), layer, hook) == [
        f"was trained on {hook_name}, and reads {hook} of block {layer}"
    ]


@pytest.mark.parametrize(
    ("hook_name", "layer", "hook"),
    [
        ("blocks.8.hook_resid_pre", 8, "resid_pre"),
        ("blocks.8.hook_resid_pre", 7, "resid_post"),
        ("blocks.7.hook_resid_post", 8, "resid_pre"),
        ("model.layers.8.output", 8, "resid_post"),
        ("blocks.8.hook_out", 8, "resid_post"),
        ("layers.3.mlp", 3, "mlp_out"),
    ],
)
def test_the_same_stream_under_another_name_gives_no_warning(hook_name, layer, hook):
    assert sae_warnings(sae_trained_on(hook_name), layer, hook) == []


@pytest.mark.parametrize(
    ("recorded", "given"),
    [
        ("pythia-70m-deduped", "EleutherAI/pythia-70m-deduped"),
        ("EleutherAI/pythia-70m-deduped", "pythia-70m-deduped"),
        ("gpt2-small", "openai-community/gpt2"),
        ("gpt2", "/models/gpt2/"),
        ("gemma-2b", "google/gemma-2b"),
        ("meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        (None, "anything"),
    ],
)
def test_one_model_under_two_names_gives_no_warning(recorded, given):
    sae = sae_trained_on("layers.3")
    sae.cfg.metadata.model_name = recorded
    assert sae_warnings(sae, 3, model_name=given) == []


@pytest.mark.parametrize("given", ["EleutherAI/pythia-70m", "EleutherAI/pythia-160m-deduped", "/models/mine"])
def test_another_model_is_told_with_both_names(given):
    sae = sae_trained_on("layers.3")
    sae.cfg.metadata.model_name = "pythia-70m-deduped"
    assert sae_warnings(sae, 3, model_name=given) == [f"was trained on pythia-70m-deduped, and reads {given}"]


def test_another_checkpoint_and_chosen_positions_are_told():
    sae = sae_trained_on("layers.3")
    sae.cfg.metadata.model_from_pretrained_kwargs = {"checkpoint_value": 1000}
    sae.cfg.metadata.seqpos_slice = (5, None)
    told = sae_warnings(sae, 3)
    assert told[0] == "was trained on the checkpoint checkpoint_value=1000 of its model"
    assert told[1] == "was trained on the positions 5: of each text only"
    sae.cfg.metadata.seqpos_slice = (None,)
    assert len(sae_warnings(sae, 3)) == 1


def test_a_scaling_factor_that_is_not_there_is_told():
    sae = sae_trained_on("layers.3", normalize_activations="expected_average_only_in")
    assert "scaling factor" in sae_warnings(sae, 3)[0]


def test_an_sae_whose_training_was_stopped_is_told():
    sae = sae_trained_on("blocks.3.hook_resid_post")
    sae.cfg.metadata.finished, sae.cfg.metadata.n_training_tokens = False, 4096
    assert sae_warnings(sae, 3) == ["was stopped after 4096 tokens, before its training was finished"]
    sae.cfg.metadata.finished = True
    assert not sae_warnings(sae, 3)
