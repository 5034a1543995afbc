"""SAELens's folders of versions 3 to 6: old keys, factors, normalisations, checkpoints, parts."""

import json

import pytest
import torch
from safetensors.torch import save_file

from analogue.errors import InvalidArgument
from analogue.saes import load, sae_site, sae_warnings
from tests.saes.weights import D_IN, check, jumprelu, random_resid, random_weights, topk

OLD = {  # as version 3 wrote it, whose releases lack what came later
    "d_in": D_IN,
    "d_sae": 40,
    "dtype": "torch.float32",
    "device": "cuda",
    "model_name": "gpt2-small",
    "hook_point": "blocks.3.hook_resid_pre",
    "hook_point_layer": 3,
    "hook_point_head_index": None,
    "activation_fn_str": "relu",
    "prepend_bos": True,
    "context_size": 128,
}
SIX = {"architecture": "standard", "metadata": {"sae_lens_version": "6.30.0", "hook_name": "blocks.3.hook_resid_post"}}


def state_of(w):
    return {"W_enc": w.w_enc, "b_enc": w.b_enc, "W_dec": w.w_dec, "b_dec": w.b_dec}


def write(folder, config, **more):
    w = random_weights()
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: each.contiguous() for name, each in (state_of(w) | more).items() if each is not None}
    save_file(state, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return w


def pre_of(w, resid=None):
    return ((random_resid() if resid is None else resid) - w.b_dec) @ w.w_enc + w.b_enc


@pytest.mark.parametrize("missing", [(), ("d_in", "d_sae", "dtype", "device"), ("activation_fn_str", "prepend_bos")])
def test_the_oldest_keys_and_missing_ones(tmp_path, missing):
    w = write(tmp_path, {name: value for name, value in OLD.items() if name not in missing})
    sae = load(path=tmp_path)
    acts = pre_of(w).relu()
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (3, "resid_pre")


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}},
        {"activation_fn_str": "topk", "k": 5},
        {"architecture": "topk", "k": 5},
    ],
)
def test_a_declared_topk_is_one(tmp_path, changes):
    w = write(tmp_path, OLD | changes)
    check(load(path=tmp_path), topk(pre_of(w), 5), w.w_dec)


def test_an_input_bias_is_left_out_where_the_files_say_so(tmp_path):
    w = write(tmp_path, OLD | {"apply_b_dec_to_input": False})
    check(load(path=tmp_path), (random_resid() @ w.w_enc + w.b_enc).relu(), w.w_dec)


@pytest.mark.parametrize("declared", [True, "expected_average_only_in"])
def test_the_factor_beside_the_weights_is_applied(tmp_path, declared):
    w = write(tmp_path, OLD | {"normalize_activations": declared})
    assert "without a scaling factor" in sae_warnings(load(path=tmp_path), 3, "resid_pre")[0]
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.25, "has_whitening": false}')
    sae = load(path=tmp_path)
    acts = pre_of(w, 0.25 * random_resid()).relu()
    check(sae, acts, 4 * w.w_dec, 4 * (acts @ w.w_dec + w.b_dec))
    assert sae_warnings(sae, 3, "resid_pre") == []


@pytest.mark.parametrize("declared", [False, None, "none"])
def test_a_factor_that_was_folded_in_is_not_applied_again(tmp_path, declared):
    w = write(tmp_path, OLD | {"normalize_activations": declared})
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.25, "has_whitening": false}')
    check(load(path=tmp_path), pre_of(w).relu(), w.w_dec)


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
def test_whitened_activations_are_whitened(tmp_path, architecture, subtracts):
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn(D_IN, D_IN, generator=generator).double() + 3 * torch.eye(D_IN).double()
    mean, inverse = torch.randn(D_IN, generator=generator).double(), matrix.inverse()
    config = SIX | {"architecture": architecture, "normalize_activations": "covariance_whitening"}
    more = {"threshold": random_weights().threshold} if architecture == "jumprelu" else {}
    w = write(tmp_path, config | {"apply_b_dec_to_input": subtracts}, **more)
    with pytest.raises(InvalidArgument, match=r"activation_whitening\.safetensors is not there"):
        load(path=tmp_path)
    whitening = {"mean": mean, "matrix": matrix, "inverse_matrix": inverse}
    save_file(
        {name: each.contiguous() for name, each in whitening.items()}, tmp_path / "activation_whitening.safetensors"
    )
    resid = random_resid()[1:]
    whitened = ((resid.double() - mean) @ matrix).float()
    pre = (whitened - subtracts * w.b_dec) @ w.w_enc + w.b_enc
    acts = jumprelu(pre, w.threshold) if more else pre.relu()
    decoded = ((acts @ w.w_dec + w.b_dec).double() @ inverse + mean).float()
    check(load(path=tmp_path), acts, (w.w_dec.double() @ inverse).float(), decoded, atol=2e-4, resid=resid)


def test_a_fitted_factor_scales_decoder_rows(tmp_path):
    factor = torch.linspace(0.5, 2, 40)
    w = write(tmp_path / "a", OLD | {"finetuning_scaling_factor": True}, scaling_factor=factor)
    acts = pre_of(w).relu()
    check(load(path=tmp_path / "a"), acts, factor[:, None] * w.w_dec, (factor * acts) @ w.w_dec + w.b_dec)
    w = write(tmp_path / "b", OLD, scaling_factor=torch.ones(40))
    check(load(path=tmp_path / "b"), pre_of(w).relu(), w.w_dec)


@pytest.mark.parametrize("rescales", [True, False])
@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_checkpoint_of_a_batchtopk_run_encodes_with_its_threshold(tmp_path, architecture, rescales):
    config = SIX | {"architecture": architecture, "k": 5, "rescale_acts_by_decoder_norm": rescales}
    w = write(tmp_path, config, topk_threshold=torch.tensor(0.8, dtype=torch.float64))
    norms = w.w_dec.norm(dim=1) if rescales else torch.ones(40)
    acts = jumprelu(pre_of(w) * norms, 0.8)
    check(load(path=tmp_path), acts, w.w_dec / norms[:, None], acts / norms @ w.w_dec + w.b_dec)


def test_checkpoints_of_old_jumprelu_runs_have_logarithms(tmp_path):
    threshold = random_weights().threshold
    w = write(tmp_path, OLD | {"architecture": "jumprelu"}, log_threshold=threshold.log())
    check(load(path=tmp_path), jumprelu(pre_of(w), threshold), w.w_dec)


@pytest.mark.parametrize("normalisation", ["constant_norm_rescale", "layer_norm"])
def test_old_normalisations_are_done(tmp_path, normalisation):
    w = write(tmp_path, OLD | {"normalize_activations": normalisation})
    resid = random_resid()
    if normalisation == "layer_norm":
        resid = resid - resid.mean(dim=1, keepdim=True)
        read = resid / (resid.std(dim=1, keepdim=True) + 1e-5)
    else:
        read = resid * D_IN**0.5 / resid.norm(dim=1, keepdim=True)
    check(load(path=tmp_path), pre_of(w, read).relu(), w.w_dec)


def test_an_sae_of_attention_heads_reads_all_of_them_as_one_vector(tmp_path):
    w = write(tmp_path, OLD | {"hook_point": "blocks.3.attn.hook_z"})
    sae = load(path=tmp_path)
    acts = pre_of(w).relu()
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (3, "attn_z")


def test_weights_in_parts_are_put_together(tmp_path):
    w = write(tmp_path, OLD)
    (tmp_path / "sae_weights.safetensors").unlink()
    where = {}
    for part, names in enumerate((("W_enc", "b_dec"), ("W_dec", "b_enc"))):
        file = f"sae_weights-0000{part + 1}-of-00002.safetensors"
        save_file({name: state_of(w)[name] for name in names}, tmp_path / file)
        where |= dict.fromkeys(names, file)
    (tmp_path / "sae_weights.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    check(load(path=tmp_path), pre_of(w).relu(), w.w_dec)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"activation_fn_str": "tanh-relu"}, "has the activation function 'tanh-relu'"),
        ({"activation_fn_str": "topk"}, "holds k=None, where the number of active features is needed"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5, "signed": True}}, "keeps signed activations"),
        (
            {"architecture": "gated", "activation_fn_str": "topk"},
            "is of architecture gated with the activation function topk",
        ),
        ({"architecture": "sigmoid"}, "is of architecture 'sigmoid'; SAELens has "),
        ({"normalize_activations": "by_hand"}, "normalises its input by 'by_hand'"),
        ({"hook_point_head_index": 4}, "reads attention head 4 alone"),
        (SIX | {"metadata": {"sae_lens_version": "6.30.0", "hook_head_index": 4}}, "reads attention head 4 alone"),
        ({"architecture": "abstopk", "k": 4}, "keeps negative activations"),
        ({"architecture": "temporal"}, "reads whole sequences"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path, changes, told):
    write(tmp_path, OLD | changes)
    with pytest.raises(InvalidArgument, match=told):
        load(path=tmp_path)


def test_a_factor_that_its_configuration_does_not_want_is_refused(tmp_path):
    write(tmp_path, OLD, scaling_factor=torch.full((40,), 2.0))
    with pytest.raises(InvalidArgument, match="holds a scaling_factor that its configuration does not want"):
        load(path=tmp_path)
