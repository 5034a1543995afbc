"""Llama Scope and its R1-Distill variant, against the encoder of their authors' code."""

import json

import pytest
import torch
from safetensors.torch import save_file

from analogue.errors import InvalidArgument
from analogue.saes import load, output_site, sae_site
from tests.saes.weights import D_IN, D_SAE, check, random_resid, random_weights

NORM, NORM_OUT, THRESHOLD = 1.9, 0.6, 0.4
HOOK = "blocks.15.hook_resid_post"
CONFIG = {
    "d_model": D_IN,
    "d_sae": D_SAE,
    "expansion_factor": D_SAE / D_IN,
    "act_fn": "jumprelu",
    "jump_relu_threshold": THRESHOLD,
    "norm_activation": "dataset-wise",
    "hook_point_in": HOOK,
    "hook_point_out": HOOK,
    "top_k": 50,
    "use_decoder_bias": True,
    "use_glu_encoder": False,
    "apply_decoder_bias_to_pre_encoder": False,
    "sparsity_include_decoder_norm": True,
    "dataset_average_activation_norm": {"in": NORM, "out": NORM},
}


def state_of(w):
    state = {"encoder.weight": w.w_enc.T, "encoder.bias": w.b_enc, "decoder.weight": w.w_dec.T, "decoder.bias": w.b_dec}
    return {name: each.contiguous() for name, each in state.items()}


def write(folder, dtype=torch.float32, **changes):
    w = random_weights()
    (folder / "checkpoints").mkdir(parents=True)
    state = {name: each.to(dtype) for name, each in state_of(w).items()}
    save_file(state, folder / "checkpoints/final.safetensors")
    (folder / "hyperparams.json").write_text(json.dumps(CONFIG | changes))
    return w if dtype == torch.float32 else type(w)(*(each.to(dtype).float() for each in w))


def write_later(folder, w, config, **norms):
    state = state_of(w) | {"log_jumprelu_threshold": w.threshold.log()}
    state |= {f"dataset_average_activation_norm.{name}": torch.tensor(each) for name, each in norms.items()}
    folder.mkdir(parents=True)
    save_file(state, folder / "sae_weights.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def formula(w, resid, threshold_of_raw, scale=D_IN**0.5 / NORM):
    """Fires where the pre-activation in the model's own units, times the decoder row's norm, is high enough."""
    pre = resid @ w.w_enc + w.b_enc / scale
    return scale * torch.where(pre * w.w_dec.norm(dim=1) > threshold_of_raw, pre, 0.0).relu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_threshold_holds_for_activations_times_the_decoders_norm(tmp_path, dtype):
    w = write(tmp_path, dtype)
    scale = D_IN**0.5 / NORM
    acts = formula(w, random_resid(), THRESHOLD)
    check(load(path=tmp_path), acts, w.w_dec / scale, (acts @ w.w_dec + w.b_dec) / scale, atol=2e-5)
    assert sae_site(load(path=tmp_path)) == (15, "resid_post")


def test_the_decoders_norm_is_left_out_where_the_files_say_so(tmp_path):
    w = write(tmp_path, sparsity_include_decoder_norm=False)
    pre = random_resid() @ w.w_enc * D_IN**0.5 / NORM + w.b_enc
    acts = torch.where(pre * NORM / D_IN**0.5 > THRESHOLD, pre, 0.0).relu()
    check(load(path=tmp_path), acts, w.w_dec * NORM / D_IN**0.5, atol=2e-5)


def test_every_token_is_scaled_by_itself_where_the_files_say_so(tmp_path):
    w = write(tmp_path, norm_activation="token-wise", apply_decoder_bias_to_pre_encoder=True)
    resid = random_resid()
    pre = (resid * D_IN**0.5 / resid.norm(dim=1, keepdim=True) - w.b_dec) @ w.w_enc + w.b_enc
    acts = torch.where(pre * w.w_dec.norm(dim=1) > THRESHOLD, pre, 0.0).relu()
    check(load(path=tmp_path), acts, w.w_dec)


def test_a_transcoder_scales_what_it_writes_by_a_factor_of_its_own(tmp_path):
    hooks = {"hook_point_in": "blocks.3.ln2.hook_normalized", "hook_point_out": "blocks.3.hook_mlp_out"}
    w = write(tmp_path, dataset_average_activation_norm={"in": NORM, "out": NORM_OUT}, **hooks)
    sae = load(path=tmp_path, transcoders=True)
    acts, out = formula(w, random_resid(), THRESHOLD), D_IN**0.5 / NORM_OUT
    check(sae, acts, w.w_dec / out, (acts @ w.w_dec + w.b_dec) / out, atol=2e-5)
    assert (sae_site(sae), output_site(sae)) == ((3, "mlp_in"), (3, "mlp_out"))


@pytest.mark.parametrize("place", ["weights", "config"])
def test_r1_distill_has_a_threshold_per_feature_on_the_scaled_stream(tmp_path, place):
    w = random_weights()
    without = {name: value for name, value in CONFIG.items() if name != "dataset_average_activation_norm"}
    if place == "weights":
        write_later(tmp_path / "L15R", w, without, **{HOOK: NORM})
    else:
        write_later(tmp_path / "L15R", w, CONFIG)
    scale = D_IN**0.5 / NORM
    acts = formula(w, random_resid(), w.threshold / scale)
    check(load(path=tmp_path / "L15R"), acts, w.w_dec / scale, (acts @ w.w_dec + w.b_dec) / scale, atol=2e-5)


def test_what_would_be_read_wrongly_is_refused(tmp_path):
    for number, (changes, told) in enumerate(
        [
            ({"act_fn": "topk"}, "has the activation function 'topk'"),
            ({"use_glu_encoder": True}, "has a gated encoder"),
            ({"norm_activation": "batch-wise"}, "normalises its input 'batch-wise'"),
            ({"dataset_average_activation_norm": {}}, "hold no dataset_average_activation_norm"),
        ]
    ):
        write(tmp_path / str(number), **changes)
        with pytest.raises(InvalidArgument, match=told):
            load(path=tmp_path / str(number))
