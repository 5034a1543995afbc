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
    ],
)
def test_another_layer_or_hook_is_told(hook_name, layer, hook):
    assert sae_warnings(sae_trained_on(hook_name), layer, hook) == [
        f"was trained on {hook_name}, and reads {hook} of block {layer}"
    ]


def test_a_scaling_factor_that_is_not_there_is_told():
    sae = sae_trained_on("layers.3", normalize_activations="expected_average_only_in")
    assert "scaling factor" in sae_warnings(sae, 3)[0]
