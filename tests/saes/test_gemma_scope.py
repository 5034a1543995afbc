"""Gemma Scope 1 and 2 in their repositories' layouts, against the formulas of their papers."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from analogue.errors import InvalidArgument
from analogue.saes import load, output_site, reconstruction_of, sae_site
from tests.saes.weights import D_IN, check, jumprelu, random_resid, random_weights

CANONICAL = "layer_5/width_16k/average_l0_68"


def write_first(root, folder=CANONICAL, capital=False, **sizes):
    """Newer repositories write w_enc where older ones write W_enc."""
    weights = random_weights(**sizes)
    names = ("W_enc", "W_dec") if capital else ("w_enc", "w_dec")
    arrays = dict(zip(names, (weights.w_enc, weights.w_dec), strict=True))
    arrays |= {"b_enc": weights.b_enc, "b_dec": weights.b_dec, "threshold": weights.threshold}
    (root / folder).mkdir(parents=True)
    np.savez(root / folder / "params.npz", **{name: each.numpy() for name, each in arrays.items()})
    return root / folder, weights


def write_second(root, folder, config=None, skip=False, half=False, **sizes):
    weights = random_weights(**sizes)
    state = {name: getattr(weights, name) for name in ("w_enc", "w_dec", "b_enc", "b_dec", "threshold")}
    state |= {"affine_skip_connection": weights.w_skip} if skip else {}
    (root / folder).mkdir(parents=True)
    save_file({name: each.contiguous() for name, each in state.items()}, root / folder / "params.safetensors")
    if config:
        (root / folder / "config.json").write_text(json.dumps(config))
    return root / folder, weights


@pytest.mark.parametrize("capital", [True, False])
@pytest.mark.parametrize(
    ("repository", "hook", "model"),
    [
        ("gemma-scope-2b-pt-res", "resid_post", "gemma-2-2b"),
        ("gemma-scope-9b-it-res", "resid_post", "gemma-2-9b-it"),
        ("gemma-scope-2b-pt-mlp", "mlp_out", "gemma-2-2b"),
        ("gemma-scope-2b-pt-att", "attn_z", "gemma-2-2b"),
    ],
)
def test_an_sae_is_a_jumprelu_that_subtracts_no_bias(tmp_path, repository, hook, model, capital):
    folder, w = write_first(tmp_path / repository, capital=capital)
    sae = load(path=folder)
    acts = jumprelu(random_resid() @ w.w_enc + w.b_enc, w.threshold)
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (5, hook)
    assert sae.cfg.metadata.model_name == model


def test_a_file_is_read_as_its_folder_is(tmp_path):
    folder, _ = write_first(tmp_path)
    torch.testing.assert_close(load(folder / "params.npz").encode(random_resid()), load(folder).encode(random_resid()))


def test_an_sae_of_embeddings_reads_them_before_they_are_scaled(tmp_path):
    folder, w = write_first(tmp_path / "gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6")
    sae = load(path=folder)
    embedding = random_resid() * D_IN**-0.5
    acts = jumprelu(embedding @ w.w_enc + w.b_enc, w.threshold)
    scaled = D_IN**0.5
    check(sae, acts, scaled * w.w_dec, scaled * (acts @ w.w_dec + w.b_dec))
    assert sae_site(sae) == (0, "resid_pre")


def test_a_transcoder_reads_the_stream_at_unit_root_mean_square(tmp_path):
    """The norm's gain was folded into the MLP: arXiv 2408.05147v2, page 18."""
    folder, w = write_first(tmp_path / "gemma-scope-2b-pt-transcoders", d_out=7)
    with pytest.raises(InvalidArgument, match="is a transcoder"):
        load(path=folder)
    sae = load(path=folder, transcoders=True)
    resid = random_resid()
    normalised = resid / resid.square().mean(dim=1, keepdim=True).sqrt()
    acts = jumprelu(normalised @ w.w_enc + w.b_enc, w.threshold)
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    torch.testing.assert_close(sae.encode(normalised), acts, atol=1e-5, rtol=1e-5)
    assert (sae_site(sae), output_site(sae)) == ((5, "resid_mid"), (5, "mlp_out"))


SECOND = {"architecture": "jump_relu", "model_name": "gemma-v3-4b-pt", "hf_hook_point_out": None}


@pytest.mark.parametrize(
    ("kind", "module", "hook"),
    [
        ("resid_post", "output", "resid_post"),
        ("mlp_out", "post_feedforward_layernorm.output", "mlp_out"),
        ("attn_out", "self_attn.o_proj.input", "attn_z"),
    ],
)
@pytest.mark.parametrize("has_config", [True, False])
def test_gemma_scope_2_saes(tmp_path, kind, module, hook, has_config):
    config = SECOND | {"hf_hook_point_in": f"model.layers.9.{module}"} if has_config else None
    place = f"gemma-scope-2-4b-pt/{kind}/layer_9_width_16k_l0_medium"
    folder, w = write_second(tmp_path, place, config)
    sae = load(path=folder)
    acts = jumprelu(random_resid() @ w.w_enc + w.b_enc, w.threshold)
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (9, hook)
    assert sae.cfg.metadata.model_name == "gemma-3-4b-pt"


@pytest.mark.parametrize("has_config", [True, False])
@pytest.mark.parametrize("skip", [True, False])
def test_gemma_scope_2_transcoders(tmp_path, skip, has_config):
    at = "model.layers.9"
    hooks = {"hf_hook_point_in": f"{at}.pre_feedforward_layernorm.output"}
    hooks |= {"hf_hook_point_out": f"{at}.post_feedforward_layernorm.output", "affine_connection": skip}
    folder, w = write_second(
        tmp_path,
        f"gemma-scope-2-270m-pt/transcoder/layer_9_width_16k_l0_small{'_affine' * skip}",
        SECOND | hooks if has_config else None,
        skip,
        d_out=7,
    )
    sae = load(path=folder, transcoders=True)
    resid = random_resid()
    acts = jumprelu(resid @ w.w_enc + w.b_enc, w.threshold)
    check(sae, acts, w.w_dec)
    expected = acts @ w.w_dec + w.b_dec + (resid @ w.w_skip if skip else 0)
    torch.testing.assert_close(reconstruction_of(sae, resid, acts), expected, atol=1e-5, rtol=1e-5)
    assert (sae_site(sae), output_site(sae)) == ((9, "mlp_in"), (9, "mlp_out"))


def test_what_gemma_scope_2_has_besides_is_refused(tmp_path):
    folder, _ = write_second(tmp_path, "resid_post/layer_3", SECOND | {"architecture": "topk"})
    with pytest.raises(InvalidArgument, match=r"is of architecture 'topk'; of Gemma Scope 2, jump_relu can be read"):
        load(path=folder)
    folder, _ = write_second(
        tmp_path,
        "transcoder/layer_3_affine",
        SECOND | {"affine_connection": True, "hf_hook_point_in": "a", "hf_hook_point_out": "b"},
    )
    with pytest.raises(InvalidArgument, match="declares an affine connection that its weights do not have"):
        load(path=folder, transcoders=True)
