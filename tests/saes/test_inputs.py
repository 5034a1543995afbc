"""Streams that TransformerLens centred: the SAE subtracts the mean, where its model has LayerNorm."""

from copy import deepcopy

import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig

from analogue.errors import InvalidArgument
from analogue.saes import load, reconstruction_of, sae_fingerprint, target_of
from tests.saes.weights import D_IN, random_resid, random_weights

CENTRED = {"center_writing_weights": True}


def sae_of(kwargs, hook_name="blocks.8.hook_resid_pre", **settings):
    w = random_weights()
    sae = StandardSAE(StandardSAEConfig(d_in=D_IN, d_sae=40, **settings))
    sae.load_state_dict({"W_enc": w.w_enc, "b_enc": w.b_enc, "W_dec": w.w_dec, "b_dec": w.b_dec})
    sae.cfg.metadata.hook_name = hook_name
    sae.cfg.metadata.model_from_pretrained_kwargs = kwargs
    return sae, w


def encoded(resid, w):
    return ((resid - w.b_dec) @ w.w_enc + w.b_enc).relu()


def centred(resid):
    return resid - resid.mean(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("kwargs", "hook_name", "is_centred"),
    [
        (CENTRED, "blocks.8.hook_resid_pre", True),
        (CENTRED, "blocks.8.hook_mlp_out", True),
        (CENTRED, "", True),
        (CENTRED, "blocks.8.attn.hook_z", False),
        (CENTRED, "blocks.8.ln2.hook_normalized", False),
        ({"center_writing_weights": False, "fold_ln": True, "center_unembed": True}, "blocks.8.hook_resid_pre", False),
        (None, "blocks.8.hook_resid_pre", False),
    ],
)
def test_the_mean_is_subtracted_where_the_weights_that_write_were_centred(kwargs, hook_name, is_centred):
    sae, w = sae_of(kwargs, hook_name)
    resid = random_resid()
    read = centred(resid) if is_centred else resid
    loaded = load(sae)
    acts = encoded(read, w)
    torch.testing.assert_close(loaded.encode(resid), acts)
    torch.testing.assert_close(deepcopy(loaded).encode(resid), acts)
    torch.testing.assert_close(load(loaded).encode(resid), acts)
    torch.testing.assert_close(target_of(loaded, resid), read)
    torch.testing.assert_close(reconstruction_of(loaded, resid, acts), acts @ w.w_dec + w.b_dec)


def test_a_model_without_layer_norm_is_never_centred():
    sae, w = sae_of(CENTRED)
    loaded = load(sae, centre=False)
    torch.testing.assert_close(loaded.encode(random_resid()), encoded(random_resid(), w))
    assert sae_fingerprint(loaded) != sae_fingerprint(load(sae))


def test_the_mean_is_subtracted_before_the_norm_is_made_one():
    sae, w = sae_of(CENTRED, normalize_activations="constant_norm_rescale")
    read = centred(random_resid())
    read = read * D_IN**0.5 / read.norm(dim=1, keepdim=True)
    torch.testing.assert_close(load(sae).encode(random_resid()), encoded(read, w))


@pytest.mark.parametrize(
    ("kwargs", "hook_name", "told"),
    [
        (
            {"rescale_everything": 2},
            "blocks.8.hook_resid_pre",
            "loaded with rescale_everything=2, and what that changes",
        ),
        ({"fold_ln": True}, "blocks.8.ln2.hook_normalized", "loaded with fold_ln=True, which changes its mlp_in"),
        ({"fold_value_biases": True}, "blocks.8.attn.hook_z", "which changes its attn_z"),
    ],
)
def test_settings_of_the_model_that_change_what_is_read_are_refused(kwargs, hook_name, told):
    with pytest.raises(InvalidArgument, match=told):
        load(sae_of(kwargs, hook_name)[0])
