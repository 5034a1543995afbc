"""A tiny model of each architecture, with parameters far from their initial values, and its blocks written out."""

import inspect

import torch
from transformers import (
    AutoModel,
    BertConfig,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3Config,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    GemmaConfig,
    Glm4Config,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    GptOssConfig,
    Llama4TextConfig,
    LlamaConfig,
    Mamba2Config,
    MambaConfig,
    Mistral3Config,
    MistralConfig,
    Olmo3Config,
    OPTConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    SmolLM3Config,
    XLNetConfig,
)

VISION = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
VISION |= {"image_size": 28, "patch_size": 14}
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
SIZES |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
HEADS = {"num_key_value_heads": 1, "head_dim": 6}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 12}
WINDOW = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 6}
LINEAR = {"linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 4, "linear_value_head_dim": 4}
MIXERS = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
OLD = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
STATES = {"hidden_size": 16, "num_hidden_layers": 3, "vocab_size": 50, "state_size": 4}
PER_LAYER = {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 50, "laurel_rank": 4}
CONFIGS = {
    "gpt2": lambda: GPT2Config(**OLD),
    "gpt_neo": lambda: GPTNeoConfig(
        hidden_size=16, num_layers=3, num_heads=2, vocab_size=50, attention_types=[[["global", "local", "global"], 1]]
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES),
    "gpt_neox_sequential": lambda: GPTNeoXConfig(**SIZES, use_parallel_residual=False),
    "llama": lambda: LlamaConfig(**SIZES, **HEADS),
    "llama4": lambda: Llama4TextConfig(
        **SIZES, **HEADS, num_local_experts=2, intermediate_size_mlp=24, moe_layers=[1, 2]
    ),
    "mistral": lambda: MistralConfig(**SIZES, **HEADS, sliding_window=4),
    "mistral3": lambda: Mistral3Config(
        text_config={"model_type": "mistral"} | SIZES | HEADS, vision_config={"model_type": "pixtral"} | VISION
    ),
    "gemma": lambda: GemmaConfig(**SIZES, **HEADS),
    "gemma2": lambda: Gemma2Config(**SIZES, **HEADS, **WINDOW),
    "gemma3": lambda: Gemma3TextConfig(**SIZES, **HEADS, **WINDOW),
    "gemma3_multimodal": lambda: Gemma3Config(text_config=SIZES | HEADS, vision_config=VISION),
    "qwen2": lambda: Qwen2Config(**SIZES, num_key_value_heads=1),
    "qwen3": lambda: Qwen3Config(**SIZES, **HEADS),
    "qwen3_moe": lambda: Qwen3MoeConfig(**SIZES, **HEADS, **EXPERTS, num_experts=4),
    "qwen3_5": lambda: Qwen3_5TextConfig(**SIZES, **HEADS, **LINEAR, **MIXERS),
    "gpt_oss": lambda: GptOssConfig(**SIZES, **HEADS, **WINDOW, num_local_experts=4, num_experts_per_tok=2),
    "olmo3": lambda: Olmo3Config(**SIZES, **WINDOW, num_key_value_heads=1),
    "smollm3": lambda: SmolLM3Config(**SIZES, num_key_value_heads=1),
    "phi3": lambda: Phi3Config(**SIZES, num_key_value_heads=1),
    "glm4": lambda: Glm4Config(**SIZES, **HEADS),
    "deepseek_v3": lambda: DeepseekV3Config(
        **SIZES, **EXPERTS, **LATENT, n_routed_experts=4, n_group=2, topk_group=1, first_k_dense_replace=1
    ),
    "mamba": lambda: MambaConfig(**STATES),
    "mamba2": lambda: Mamba2Config(**STATES, num_heads=4, head_dim=8, expand=2, n_groups=1, chunk_size=4),
    "bert": lambda: BertConfig(**SIZES),
    "opt": lambda: OPTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, ffn_dim=32, vocab_size=50, word_embed_proj_dim=16
    ),
}
WITH_OTHER_AXES = {  # what their blocks put out is no vector for each token
    "gemma3n": lambda: Gemma3nTextConfig(
        **SIZES, **HEADS, **WINDOW, **PER_LAYER, num_kv_shared_layers=0, activation_sparsity_pattern=None
    ),
    "xlnet": lambda: XLNetConfig(d_model=16, n_layer=3, n_head=2, d_inner=32, vocab_size=50),
}
FINAL_NORM = {"gpt_neox": "final_layer_norm", "gpt_neox_sequential": "final_layer_norm", "gpt2": "ln_f"}
FINAL_NORM |= {"gpt_neo": "ln_f", "mamba": "norm_f", "mamba2": "norm_f", "bert": None, "opt": "final_layer_norm"}

POST_NORMS = {"after_attention": "post_attention_layernorm", "after_mlp": "post_feedforward_layernorm"}
NAMES = {  # of a block's modules, where they are not those of Llama
    "gpt2": {"attention": "attn", "before_attention": "ln_1", "before_mlp": "ln_2"},
    "gpt_neo": {"attention": "attn", "before_attention": "ln_1", "before_mlp": "ln_2"},
    "gpt_neox": {"attention": "attention", "is_parallel": True},
    "gpt_neox_sequential": {"attention": "attention"},
    "llama4": {"mlp": "feed_forward"},
    "gemma2": POST_NORMS | {"before_mlp": "pre_feedforward_layernorm"},
    "gemma3": POST_NORMS | {"before_mlp": "pre_feedforward_layernorm"},
    "gemma3_multimodal": POST_NORMS | {"before_mlp": "pre_feedforward_layernorm"},
    "glm4": {"after_attention": "post_self_attn_layernorm", "after_mlp": "post_mlp_layernorm"},
    "olmo3": POST_NORMS | {"before_attention": None, "before_mlp": None},
    "qwen3_5": {"attention": ("linear_attn", "self_attn")},
}


def model_of(architecture):
    """A model whose norms scale and shift, and whose weights are of unlike sizes."""
    torch.manual_seed(0)
    model = AutoModel.from_config((CONFIGS | WITH_OTHER_AXES)[architecture]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
            else:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def written_out(architecture, block, resid, given):
    """The sites of a block by the architecture's own formula, and the two output projections.

    Args:
        resid: the block's input.
        given: the further arguments that the model passes to the block.
    """
    if architecture == "bert":
        return bert(block, resid, given)
    if architecture == "opt":
        return opt(block, resid, given)
    if architecture in ("mamba", "mamba2"):
        return {"resid_post": resid + call(block.mixer, block.norm(resid), given)}, {}
    return two_parts(block, resid, given, **NAMES.get(architecture, {}))


def two_parts(
    block,
    resid,
    given,
    attention="self_attn",
    before_attention="input_layernorm",
    after_attention=None,
    mlp="mlp",
    before_mlp="post_attention_layernorm",
    after_mlp=None,
    is_parallel=False,
):
    names = (attention,) if isinstance(attention, str) else attention
    attention = next(getattr(block, name) for name in names if hasattr(block, name))
    mlp = getattr(block, mlp)
    mixed = call(attention, named(block, before_attention)(resid), given)
    attn_out = named(block, after_attention)(mixed)
    mid = resid if is_parallel else resid + attn_out
    mlp_in = named(block, before_mlp)(mid)
    made = first(mlp(mlp_in)).reshape(mlp_in.shape)
    mlp_out = named(block, after_mlp)(made)
    sites = {"attn_out": attn_out, "mlp_in": mlp_in, "mlp_out": mlp_out}
    sites |= {"resid_post": resid + attn_out + mlp_out} | ({} if is_parallel else {"resid_mid": mid})
    hidden = neurons(mlp, mlp_in)
    sites |= {} if hidden is None else {"neurons": hidden}
    return sites, {"attn_z": (output_projection(attention), mixed)}


def bert(block, resid, given):
    attention, after = block.attention.output, block.output
    mixed = call(block.attention.self, resid, given)
    attn_out = attention.dense(mixed)
    mid = attention.LayerNorm(resid + attn_out)
    hidden = torch.nn.functional.gelu(block.intermediate.dense(mid))
    mlp_out = after.dense(hidden)
    sites = {"attn_z": mixed, "attn_out": attn_out, "resid_mid": mid, "mlp_in": mid, "neurons": hidden}
    return sites | {"mlp_out": mlp_out, "resid_post": after.LayerNorm(mid + mlp_out)}, {}


def opt(block, resid, given):
    attn_out = call(block.self_attn, block.self_attn_layer_norm(resid), given)
    mid = resid + attn_out
    mlp_in = block.final_layer_norm(mid)
    hidden = block.fc1(mlp_in).relu()
    mlp_out = block.fc2(hidden)
    sites = {"attn_out": attn_out, "resid_mid": mid, "mlp_in": mlp_in, "neurons": hidden, "mlp_out": mlp_out}
    return sites | {"resid_post": mid + mlp_out}, {"attn_z": (block.self_attn.out_proj, attn_out)}


def neurons(mlp, mlp_in):
    if hasattr(mlp, "experts"):
        return None
    if hasattr(mlp, "gate_proj"):
        act = mlp.activation_fn if hasattr(mlp, "activation_fn") else mlp.act_fn
        return act(mlp.gate_proj(mlp_in)) * mlp.up_proj(mlp_in)
    if hasattr(mlp, "gate_up_proj"):
        gate, up = mlp.gate_up_proj(mlp_in).chunk(2, dim=-1)
        return up * torch.nn.functional.silu(gate)
    return mlp.act((mlp.c_fc if hasattr(mlp, "c_fc") else mlp.dense_h_to_4h)(mlp_in))


def output_projection(attention):
    inner = getattr(attention, "attention", attention)  # GPT-Neo has one within the other
    names = ("o_proj", "out_proj", "c_proj", "dense")
    return next(getattr(inner, name) for name in names if hasattr(inner, name))


def named(block, name):
    return (lambda acts: acts) if name is None else getattr(block, name)


def call(module, acts, given):
    """Call a module as its block does: with those of the block's arguments that it knows."""
    known = inspect.signature(module.forward).parameters
    return first(module(acts, **{name: each for name, each in given.items() if name in known}))


def first(output):
    return output[0] if isinstance(output, tuple) else output
