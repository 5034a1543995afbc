"""A tiny Qwen 2 in a GGUF file, with the embedded tokenizer."""

import json

from analogue.embedded import ASSETS

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES |= {"num_key_value_heads": 1, "vocab_size": 3072, "max_position_embeddings": 128}
OF_BLOCKS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(model, path):
    """Write a Qwen 2 with its head as llama.cpp's converter does, in float32."""
    import gguf

    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(SIZES["vocab_size"])
    tokenizer = json.loads((ASSETS / "tokenizer" / "tokenizer.json").read_text())["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens + [f"[unused{i}]" for i in range(SIZES["vocab_size"] - len(tokens))])
    merges = [each if isinstance(each, str) else " ".join(each) for each in tokenizer["merges"]]
    writer.add_token_merges(merges)
    writer.add_token_types([3 if i == 0 else 1 for i in range(SIZES["vocab_size"])])
    for name in ("bos", "eos", "pad"):
        getattr(writer, f"add_{name}_token_id")(0)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, tensor in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module not in names:
            _, _, layer, part = module.split(".", 3)
            module = f"blk.{layer}.{OF_BLOCKS[part]}"
        writer.add_tensor(f"{names.get(module, module)}.{kind}", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
