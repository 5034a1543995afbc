import pytest

from analogue.saes import names_a_place, same_stream
from analogue.saes.sites import site_named


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("blocks.8.hook_resid_pre", (8, "resid_pre")),
        ("blocks.8.hook_in", (8, "resid_pre")),
        ("blocks.8.hook_resid_mid", (8, "resid_mid")),
        ("blocks.8.hook_mlp_in", (8, "resid_mid")),
        ("blocks.8.hook_resid_post", (8, "resid_post")),
        ("blocks.8.hook_out", (8, "resid_post")),
        ("blocks.3.ln2.hook_normalized", (3, "mlp_in")),
        ("blocks.3.mlp.hook_in", (3, "mlp_in")),
        ("blocks.3.hook_mlp_out", (3, "mlp_out")),
        ("blocks.3.mlp.hook_post", (3, "neurons")),
        ("blocks.3.hook_attn_out", (3, "attn_out")),
        ("blocks.13.attn.hook_z", (13, "attn_z")),
        ("model.layers.8.output", (8, "resid_post")),
        ("model.layers.8", (8, "resid_post")),
        ("model.layers.8.input", (8, "resid_pre")),
        ("model.language_model.layers.8", (8, "resid_post")),
        ("model.layers.8.self_attn.o_proj.input", (8, "attn_z")),
        ("model.layers.8.mlp.down_proj.input", (8, "neurons")),
        ("model.layers.8.pre_feedforward_layernorm.output", (8, "mlp_in")),
        ("model.layers.8.post_feedforward_layernorm.output", (8, "mlp_out")),
        ("transformer.h.3", (3, "resid_post")),
        ("transformer.h.3.mlp", (3, "mlp_out")),
        ("gpt_neox.layers.3.attention", (3, "attn_out")),
        ("encoder.layer.3", (3, "resid_post")),
        ("transformer.blocks.3", (3, "resid_post")),
        ("layers.3", (3, "resid_post")),
        ("layers.3.mlp", (3, "mlp_out")),
        ("layer_3", (3, "resid_post")),
        ("layers.3.attention.query_key_value", None),
        ("blocks.3.attn.hook_q", None),
        ("embed_tokens", None),
        ("hook_embed", None),
        ("pythia-70m-k32", None),
        ("seed_1", None),
        ("", None),
    ],
)
def test_names_of_hooks_and_modules_are_understood(name, site):
    assert site_named(name) == site


@pytest.mark.parametrize(
    ("name", "says_where"),
    [
        ("blocks.3.attn.hook_q", True),
        ("layers.3.attention.query_key_value", True),
        ("embed_tokens", True),
        ("gpt_neox.embed_in", True),
        ("hook_embed", True),
        ("pythia-70m-k32", False),
        ("seed_1", False),
        ("resid", False),
        ("", False),
    ],
)
def test_a_folders_name_may_say_nothing(name, says_where):
    assert names_a_place(name) == says_where


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ((7, "resid_post"), (8, "resid_pre"), True),
        ((8, "resid_pre"), (7, "resid_post"), True),
        ((8, "resid_pre"), (8, "resid_pre"), True),
        ((8, "resid_pre"), (8, "resid_post"), False),
        ((8, "resid_mid"), (8, "resid_pre"), False),
        ((7, "mlp_out"), (8, "mlp_out"), False),
    ],
)
def test_the_output_of_a_block_is_the_input_of_the_next(a, b, same):
    assert same_stream(a, b) == same
