"""Which site a side reads: its SAE's, unless it is asked for another; what cannot be read is refused."""

import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig
from transformers import AutoModel, AutoTokenizer, GPT2Config, LlamaConfig

from analogue.comparison import open_side
from analogue.embedded import ASSETS
from analogue.errors import InvalidArgument
from analogue.saes import load
from analogue.settings import Side
from tests.saes.weights import random_resid

EMBEDDED = "embedded:stories-6"
SIZES = {"vocab_size": 4096, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
GPT2 = GPT2Config(n_embd=12, n_layer=2, n_head=2, vocab_size=4096, n_positions=128)
LLAMA = LlamaConfig(**SIZES, intermediate_size=24, max_position_embeddings=128)


def sae_of(hook_name, d_in=96, **metadata):
    torch.manual_seed(0)
    sae = StandardSAE(StandardSAEConfig(d_in=d_in, d_sae=200))
    sae.W_dec.data *= 1.7
    for name, value in ({"hook_name": hook_name} | metadata).items():
        setattr(sae.cfg.metadata, name, value)
    return sae


def opened_on(config, sae):
    """A side of a tiny model with the embedded tokenizer."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "stories-6")
    return open_side(Side(AutoModel.from_config(config), 1, sae, tokenizer=tokenizer), "a")


def opened(hook_name, layer=3, hook=None, **metadata):
    return open_side(Side(EMBEDDED, layer, sae_of(hook_name, **metadata), hook=hook), "a")


@pytest.mark.parametrize(
    ("hook_name", "layer", "read"),
    [
        ("blocks.3.hook_resid_pre", 3, "resid_pre"),
        ("blocks.4.hook_resid_pre", 3, "resid_post"),
        ("blocks.2.hook_resid_post", 3, "resid_pre"),
        ("model.layers.3.output", 3, "resid_post"),
        ("layers.3.mlp", 3, "mlp_out"),
        ("blocks.3.hook_resid_mid", 3, "resid_mid"),
        ("", 3, "resid_post"),
        ("my-favourite-sae", 3, "resid_post"),
    ],
)
def test_a_side_reads_the_site_that_its_sae_was_trained_on(hook_name, layer, read):
    side = opened(hook_name, layer)
    assert (side.model.hook, side.warnings) == (read, [])


def test_another_layer_is_read_with_a_warning():
    side = opened("blocks.5.hook_resid_pre")
    assert side.model.hook == "resid_pre"
    assert side.warnings == ["`a.sae` was trained on blocks.5.hook_resid_pre, and reads resid_pre of block 3"]


@pytest.mark.parametrize("hook_name", ["blocks.3.hook_resid_post", "blocks.3.hook_resid_mid", "embed_tokens"])
def test_the_residual_stream_can_be_read_elsewhere_with_a_warning(hook_name):
    side = opened(hook_name, hook="resid_pre")
    assert side.model.hook == "resid_pre"
    assert side.warnings == [f"`a.sae` was trained on {hook_name}, and reads resid_pre of block 3"]


@pytest.mark.parametrize(
    ("hook_name", "hook", "told"),
    [
        (
            "blocks.3.hook_mlp_out",
            "resid_post",
            r"^a.hook=resid_post: `a.sae` was trained on .*, which is mlp_out of block 3",
        ),
        (
            "blocks.3.hook_resid_post",
            "mlp_out",
            r"^a.hook=mlp_out: `a.sae` was trained on .*, which is resid_post of bl",
        ),
        ("layers.3.attention.query_key_value", None, r"^a.sae=StandardSAE: was trained on .* none of the sites"),
        ("embed_tokens", None, r"^a.sae=StandardSAE: was trained on embed_tokens, which is none of the sites"),
    ],
)
def test_another_kind_of_site_is_refused(hook_name, hook, told):
    with pytest.raises(InvalidArgument, match=told):
        opened(hook_name, hook=hook)


def test_the_norm_before_its_gain_is_refused_where_it_is_no_site():
    """In models with RMSNorm, TransformerLens's hook_normalized lies between the norm and its gain."""
    with pytest.raises(InvalidArgument, match=r"which in a model with RMSNorm is read before the norm's gain"):
        opened_on(LLAMA, sae_of("blocks.1.ln2.hook_normalized", 12))
    assert opened_on(GPT2, sae_of("blocks.1.ln2.hook_normalized", 12)).model.hook == "mlp_in"


def test_another_model_is_told():
    assert opened("layers.3", model_name="embedded:stories-6").warnings == []
    assert opened("layers.3", model_name="gpt2").warnings == [
        "`a.sae` was trained on gpt2, and reads embedded:stories-6"
    ]


@pytest.mark.parametrize("config", [GPT2, LLAMA])
def test_a_centred_stream_is_read_where_the_model_has_layer_norm(config):
    sae = sae_of("blocks.1.hook_resid_post", 12)
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    resid = random_resid()
    mean = resid.mean(dim=1, keepdim=True) if config is GPT2 else 0
    expected = load(sae, centre=False).encode(resid - mean)
    torch.testing.assert_close(opened_on(config, sae).sae.encode(resid), expected)


def test_leaving_out_a_topk_that_is_not_there_is_told():
    side = open_side(Side(EMBEDDED, 3, sae_of("blocks.3.hook_resid_post"), before_topk=True), "a")
    assert side.warnings == ["`a.sae` is standard and has no TopK: `a.before_topk`=true changes nothing"]
