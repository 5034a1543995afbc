"""Transcoders: they read one site and predict another; their explained variance is of what they predict."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, Gemma2Config, GPT2Config

from analogue.comparison import collect_activations, open_side, tokenise_corpus
from analogue.embedded import ASSETS
from analogue.models import ResidualStream
from analogue.saes import load
from analogue.settings import Corpus, Side
from analogue.trainer import trainer_on
from tests.saes.test_gemma_scope import write_first
from tests.saes.test_saelens import write
from tests.saes.weights import jumprelu

CORPUS = Corpus(["Once upon a time there was a little fox who lived in a wood. " * 4] * 3, n_sequences=3, seq_len=40)
GEMMA = Gemma2Config(
    vocab_size=4096,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=6,
    intermediate_size=24,
)
GPT2 = GPT2Config(n_embd=12, n_layer=2, n_head=2, vocab_size=4096, n_positions=128)
MODELS = {"gemma_scope": GEMMA, "skip": GPT2}


def tiny(config):
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or "ln_" in name:  # gains that matter
            parameter.data += 0.7 * torch.rand_like(parameter)
    return model


def written(tmp_path, kind):
    """A transcoder of block 1's MLP, and its weights."""
    if kind == "gemma_scope":
        return write_first(tmp_path / "gemma-scope-2b-pt-transcoders", "layer_1/width_16k/average_l0_9")
    metadata = {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}
    config = {"architecture": "skip_transcoder", "d_out": 12, "apply_b_dec_to_input": False}
    skip = torch.randn(12, 12, generator=torch.Generator().manual_seed(2))
    w = write(tmp_path, config | {"metadata": metadata | {"sae_lens_version": "6.30.0"}}, W_skip=skip)
    return tmp_path, w._replace(w_skip=skip.T)


@pytest.mark.parametrize("kind", MODELS)
def test_a_transcoder_reads_one_site_and_predicts_another(tmp_path, kind):
    folder, w = written(tmp_path, kind)
    model, tokenizer = tiny(MODELS[kind]), AutoTokenizer.from_pretrained(ASSETS / "stories-6")
    side = open_side(Side(model, 1, str(folder), tokenizer=tokenizer), "a")
    assert side.writes == (1, "mlp_out")
    text = tokenise_corpus(CORPUS, side, side)
    collected = collect_activations([side], text, trainer_on("cpu", progress=False), batch_size=2)
    tokens = text.sequences["a"]
    ids, mask = torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)
    sites = {}
    for hook in ("resid_mid", "mlp_in", "mlp_out"):
        sites[hook] = ResidualStream(model, 2, hook)(ids, mask, [1])[1][mask]
    if kind == "gemma_scope":
        resid = sites["resid_mid"]
        read = resid / resid.square().mean(dim=1, keepdim=True).sqrt()
        gain = 1 + model.layers[1].pre_feedforward_layernorm.weight
        torch.testing.assert_close(read * gain, sites["mlp_in"], atol=1e-3, rtol=1e-3)  # up to the norm's epsilon
        acts = jumprelu(read @ w.w_enc + w.b_enc, w.threshold)
        predicted = acts @ w.w_dec + w.b_dec
    else:
        read = sites["mlp_in"]
        acts = (read @ w.w_enc + w.b_enc).relu()
        predicted = acts @ w.w_dec + w.b_dec + read @ w.w_skip
    stored = collected.activations["a"]
    assert stored.activations.l0() == pytest.approx(float((acts > 0).sum(1).float().mean()), rel=1e-3)
    target = sites["mlp_out"].double()
    explained = 1 - (target - predicted).square().sum() / (target - target.mean(0)).square().sum()
    assert stored.facts["explained_variance"] == pytest.approx(float(explained), rel=1e-3)
    assert torch.equal(torch.from_numpy(side.decoder), load(folder, transcoders=True).W_dec)
