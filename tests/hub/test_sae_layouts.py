"""The SAEs of the four setups, downloaded in their own layouts, against what their authors' papers define."""

import pytest
import torch

from tests.hub.repositories import random_weights

GEMMA_2B_NORM = 0.21381938399317255  # SAELens's scaling factor for block 12, which stands in no file of the release
LLAMA_SCOPE_NORM = 2.0237154150197627  # sqrt(d_model) over the mean norm of the residual stream after block 25


def sparsify(w_enc, b_enc, w_dec, b_dec, resid):
    pre = ((resid - b_dec) @ w_enc + b_enc).relu()
    return torch.where(pre >= pre.topk(16, dim=1).values[:, -1:], pre, 0.0)


def gated(w_enc, b_enc, w_dec, b_dec, resid):
    is_open = resid @ w_enc + b_enc > 0
    return is_open * (resid @ (w_enc * torch.tensor(0.1).exp()) + 0.5 * b_enc).relu()


def gemma_scope(w_enc, b_enc, w_dec, b_dec, resid):
    pre = resid @ w_enc + b_enc
    return pre.relu() * (pre > 0.1)


LAYOUTS = {
    "EleutherAI/sae-pythia-70m-32k:layers.3": (sparsify, 16, 3),
    "gemma-scope-2b-pt-res-canonical:layer_14/width_16k/canonical": (gemma_scope, 24, 14),
    "llama-3-8b-it-res-jh:blocks.25.hook_resid_post": (gated, 16, 25),
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
    torch.testing.assert_close(answer["decoded"], acts @ weights[2] + weights[3], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer["W_dec"], weights[2])


@pytest.mark.parametrize("time", ["from the hub", "from its cache"])
def test_a_release_is_scaled_by_the_factor_that_saelens_keeps(client, time):
    w_enc, b_enc, w_dec, b_dec = random_weights(16, 12)
    answer = client.encode("gemma-2b-res-jb:blocks.12.hook_resid_post", resid_of(16))
    acts = ((GEMMA_2B_NORM * resid_of(16) - b_dec) @ w_enc + b_enc).relu()
    torch.testing.assert_close(answer["acts"], acts, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(GEMMA_2B_NORM * answer["decoded"], acts @ w_dec + b_dec, atol=1e-5, rtol=1e-5)


def test_llama_scope_is_scaled_as_its_training_was(client):
    """Trained on streams of mean norm sqrt(d_model); its threshold holds for pre-activations of the unscaled stream."""
    w_enc, b_enc, w_dec, b_dec = (each.bfloat16().float() for each in random_weights(16, 25))
    answer = client.encode("llama_scope_lxr_8x:l25r_8x", resid_of(16))
    pre = (LLAMA_SCOPE_NORM * resid_of(16)) @ w_enc + b_enc
    acts = pre.relu() * (pre / LLAMA_SCOPE_NORM > 0.05)
    torch.testing.assert_close(answer["acts"], acts, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(LLAMA_SCOPE_NORM * answer["decoded"], acts @ w_dec + b_dec, atol=1e-4, rtol=1e-4)
