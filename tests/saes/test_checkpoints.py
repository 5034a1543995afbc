"""Qwen-Scope's and OpenAI's files, against the code of their cards and repositories."""

import pytest
import torch

from analogue.errors import InvalidArgument
from analogue.saes import load, sae_site
from tests.saes.weights import check, random_resid, random_weights, topk


def write(file, state):
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file


def qwen_scope(w):
    return {"W_enc": w.w_enc.T.contiguous(), "W_dec": w.w_dec.T.contiguous(), "b_enc": w.b_enc, "b_dec": w.b_dec}


def openai(w, **more):
    state = {"pre_bias": w.b_dec, "latent_bias": w.b_enc, "encoder.weight": w.w_enc.T.contiguous()}
    return state | {"decoder.weight": w.w_dec.T.contiguous(), "stats_last_nonzero": torch.zeros(3).long()} | more


def test_qwen_scope_has_its_k_in_the_repositorys_name(tmp_path):
    w = random_weights()
    file = write(tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_6" / "layer11.sae.pt", qwen_scope(w))
    sae = load(path=str(file).replace("11", "{layer}"), layer=11)
    acts = topk(random_resid() @ w.w_enc + w.b_enc, 6)
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (11, "resid_post")
    assert sae.cfg.metadata.model_name == "Qwen/Qwen3-1.7B-Base"
    stray = write(tmp_path / "layer11.sae.pt", qwen_scope(w))
    with pytest.raises(InvalidArgument, match="does not say how many features are active"):
        load(path=stray)


@pytest.mark.parametrize("is_zip", [True, False])
def test_openai_normalises_every_token(tmp_path, is_zip):
    w = random_weights()
    about = {"activation": "TopK", "activation_state_dict": {"k": 5, "postact_fn": "ReLU"}}
    file = tmp_path / "resid_delta_mlp_v5_32k/autoencoders/8.pt"
    file.parent.mkdir(parents=True)
    torch.save(openai(w, **about), file, _use_new_zipfile_serialization=is_zip)
    sae, resid = load(path=file), random_resid()
    mean = resid.mean(dim=1, keepdim=True)
    std = (resid - mean).std(dim=1, keepdim=True)
    acts = topk(((resid - mean) / (std + 1e-5) - w.b_dec) @ w.w_enc + w.b_enc, 5)
    check(sae, acts, w.w_dec)
    torch.testing.assert_close(
        sae.decode(sae.encode(resid)), (acts @ w.w_dec + w.b_dec) * std + mean, atol=1e-4, rtol=1e-5
    )
    assert sae_site(sae) == (8, "mlp_out")


def test_openais_first_autoencoders_are_relu_saes(tmp_path):
    w = random_weights()
    sae = load(path=write(tmp_path / "mlp_post_act/autoencoders/3.pt", openai(w)))
    acts = ((random_resid() - w.b_dec) @ w.w_enc + w.b_enc).relu()
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (3, "neurons")
    about = {"activation": "TopK", "activation_state_dict": {"k": 5, "postact_fn": "Identity"}}
    with pytest.raises(InvalidArgument, match="has the activation TopK"):
        load(path=write(tmp_path / "4.pt", openai(w, **about)))


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    from pathlib import PurePosixPath

    file = write(tmp_path / "3.pt", {"encoder.weight": PurePosixPath("/")})
    with pytest.raises(OSError, match="cannot be loaded as an SAE"):
        load(path=file)
