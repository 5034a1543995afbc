"""The SAEs of the four setups, downloaded in their own layouts, against what their authors' papers define."""

import pytest
import torch

from tests.hub.repositories import SAEBENCH, random_weights

GEMMA_2B_NORM = 0.21381938399317255  # SAELens's scaling factor for block 12, which stands in no file of the release
R1_DISTILL_NORM = 37.07457226753229  # likewise of block 1
LLAMA_SCOPE_NORM = 2.0237154150197627  # sqrt(d_model) over the mean norm of the residual stream after block 25


def sparsify(w_enc, b_enc, w_dec, b_dec, resid):
    pre = ((resid - b_dec) @ w_enc + b_enc).relu()
    return torch.where(pre >= pre.topk(16, dim=1).values[:, -1:], pre, 0.0)


def gated(w_enc, b_enc, w_dec, b_dec, resid):
    is_open = resid @ w_enc + b_enc > 0
    return is_open * (resid @ (w_enc * torch.tensor(0.1).exp()) + 0.5 * b_enc).relu()


def qwen_scope(w_enc, b_enc, w_dec, b_dec, resid):
    pre = resid @ w_enc + b_enc
    return torch.where(pre >= pre.topk(50, dim=1).values[:, -1:], pre, 0.0).relu()


def standard(w_enc, b_enc, w_dec, b_dec, resid):
    return ((resid - b_dec) @ w_enc + b_enc).relu()


def centred(w_enc, b_enc, w_dec, b_dec, resid):
    return standard(w_enc, b_enc, w_dec, b_dec, resid - resid.mean(dim=1, keepdim=True))


def rescaled(w_enc, b_enc, w_dec, b_dec, resid):
    return standard(w_enc, b_enc, w_dec, b_dec, resid * resid.shape[1] ** 0.5 / resid.norm(dim=1, keepdim=True))


def gemma_scope(w_enc, b_enc, w_dec, b_dec, resid):
    pre = resid @ w_enc + b_enc
    return pre.relu() * (pre > 0.1)


LAYOUTS = {
    "EleutherAI/sae-pythia-70m-32k:layers.3": (sparsify, 16, 3),
    "gemma-scope-2b-pt-res-canonical:layer_14/width_16k/canonical": (gemma_scope, 24, 14),
    "llama-3-8b-it-res-jh:blocks.25.hook_resid_post": (gated, 16, 25),
    "google/gemma-scope-2b-pt-res:layer_14/width_16k/average_l0_84": (gemma_scope, 24, 14),
    "gemma-scope-2-270m-pt-res:layer_12_width_16k_l0_big": (gemma_scope, 24, 12),
    "google/gemma-scope-2-270m-pt:resid_post/layer_12_width_16k_l0_big": (gemma_scope, 24, 12),
    "gpt2-small-res-jb:blocks.8.hook_resid_pre": (centred, 16, 8),
    "jbloom/GPT2-Small-SAEs-Reformatted:blocks.8.hook_resid_pre": (centred, 16, 8),
    "mistral-7b-res-wg:blocks.8.hook_resid_pre": (rescaled, 16, 8),
    "JoshEngels/Mistral-7B-Residual-Stream-SAEs:mistral_7b_layer_8": (rescaled, 16, 8),
    "sae_bench_pythia70m_sweep_topk_ctx128_0730:blocks.3.hook_resid_post__trainer_0": (sparsify, 16, 3),
    SAEBENCH: (sparsify, 16, 3),
    "qwen-scope-3-1.7b-base-w32k-l50:layer3": (qwen_scope, 16, 3),
    "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50:layer3.sae.pt": (qwen_scope, 16, 3),
    "someone/saes:": (sparsify, 16, 1),
    "someone/saes:layer_3": (sparsify, 16, 2),
}


def resid_of(d_in):
    return torch.randn(20, d_in, generator=torch.Generator().manual_seed(5)) * 2 + 0.3


@pytest.mark.parametrize("path", LAYOUTS)
def test_a_downloaded_sae_computes_what_is_defined(client, path):
    definition, d_in, seed = LAYOUTS[path]
    weights = random_weights(d_in, seed)
    answer = client.encode(path, resid_of(d_in))
    acts = definition(*weights, resid_of(d_in))
    torch.testing.assert_close(answer["acts"], acts, atol=1e-5, rtol=1e-5)
    if definition is not rescaled:  # whose decoder gives back the tokens' norms
        torch.testing.assert_close(answer["decoded"], acts @ weights[2] + weights[3], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer["W_dec"], weights[2])


@pytest.mark.parametrize("time", ["from the hub", "from its cache"])
@pytest.mark.parametrize(
    "path",
    [
        "gemma-2b-res-jb:blocks.12.hook_resid_post",
        "jbloom/Gemma-2b-Residual-Stream-SAEs:gemma_2b_blocks.12.hook_resid_post_16384",
    ],
)
def test_a_release_is_scaled_by_the_factor_that_saelens_keeps(client, time, path):
    w_enc, b_enc, w_dec, b_dec = random_weights(16, 12)
    answer = client.encode(path, resid_of(16))
    acts = ((GEMMA_2B_NORM * resid_of(16) - b_dec) @ w_enc + b_enc).relu()
    torch.testing.assert_close(answer["acts"], acts, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(GEMMA_2B_NORM * answer["decoded"], acts @ w_dec + b_dec, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "path", ["llama_scope_lxr_8x:l25r_8x", "fnlp/Llama3_1-8B-Base-LXR-8x:Llama3_1-8B-Base-L25R-8x"]
)
def test_llama_scope_is_scaled_as_its_training_was(client, path):
    """Trained on streams of mean norm sqrt(d_model); its threshold holds for pre-activations of the unscaled stream."""
    w_enc, b_enc, w_dec, b_dec = (each.bfloat16().float() for each in random_weights(16, 25))
    answer = client.encode(path, resid_of(16))
    pre = (LLAMA_SCOPE_NORM * resid_of(16)) @ w_enc + b_enc
    acts = pre.relu() * (pre / LLAMA_SCOPE_NORM * w_dec.norm(dim=1) > 0.05)
    torch.testing.assert_close(answer["acts"], acts, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(LLAMA_SCOPE_NORM * answer["decoded"], acts @ w_dec + b_dec, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "path",
    [
        "llama_scope_r1_distill:l1r_800m_slimpajama",
        "fnlp/Llama-Scope-R1-Distill:800M-Slimpajama-0-OpenR1-Math-220k/L1R",
    ],
)
def test_r1_distills_factor_stands_in_saelenss_list(client, path):
    w_enc, b_enc, w_dec, b_dec = random_weights(16, 1)
    answer = client.encode(path, resid_of(16))
    pre = (R1_DISTILL_NORM * resid_of(16)) @ w_enc + b_enc
    acts = pre.relu() * (pre * w_dec.norm(dim=1) > 0.2)
    torch.testing.assert_close(answer["acts"], acts, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(R1_DISTILL_NORM * answer["decoded"], acts @ w_dec + b_dec, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "path",
    [
        "gemma-scope-2b-pt-res:embedding/width_4k/average_l0_6",
        "google/gemma-scope-2b-pt-res:embedding/width_4k/average_l0_6",
    ],
)
def test_an_sae_of_embeddings_reads_them_before_they_are_scaled(client, path):
    w_enc, b_enc, w_dec, b_dec = random_weights(24, 14)
    answer = client.encode(path, resid_of(24))
    acts = gemma_scope(w_enc, b_enc, w_dec, b_dec, resid_of(24) / 24**0.5)
    torch.testing.assert_close(answer["acts"], acts, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer["decoded"], 24**0.5 * (acts @ w_dec + b_dec), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    "path",
    [
        "gemma-scope-2b-pt-transcoders:layer_14/width_16k/average_l0_8",
        "google/gemma-scope-2b-pt-transcoders:layer_14/width_16k/average_l0_8",
    ],
)
def test_a_transcoder_is_no_sae_by_either_name(client, path):
    answer = client.ask({"path": path, "resid": resid_of(24).tolist()})
    assert answer["kind"] == "InvalidArgument"
    assert "is a transcoder" in answer["error"]
