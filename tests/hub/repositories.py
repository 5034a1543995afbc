"""The repositories of the paper's four setups: the true architectures and file layouts, random weights, tiny sizes."""

import json

import numpy as np
import torch
from sae_lens import TopKSAE, TopKSAEConfig
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
)

from analogue.corpus import read_texts
from analogue.embedded import ASSETS

D_SAE = 96
VOCABULARY = 4096
SAEBENCH = "canrager/lm_sae:pythia70m_sweep_topk_ctx128_0730/resid_post_layer_3/trainer_0"


def write_repositories(root):
    """Write all of them under `root`, as `HubServer` expects."""
    write_pythia(root / "models")
    write_gemma(root / "models")
    write_llama(root / "models")
    write_tinystories(root / "models")
    write_someones_saes(root / "models")
    write_other_releases(root / "models")
    texts = list(read_texts("embedded:stories/train.parquet"))
    write_corpus(root / "datasets/Skylion007/openwebtext", texts[:1200], "plain_text/train-0000{}-of-00002.parquet")
    write_mamba(root / "models")
    for split, some in (("train", texts[:400]), ("validation", texts[400:440])):
        write_corpus(root / "datasets/monology/pile-uncopyrighted", some, f"data/{split}-0000{{}}-of-00002.parquet")
    write_corpus(root / "datasets/roneneldan/TinyStories", texts[1200:1600], "data/train-0000{}-of-00002.parquet")


def write_pythia(models_root):
    for name, d_model, n_layers in (("pythia-70m", 16, 6), ("pythia-160m", 24, 12)):
        config = GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=d_model,
            num_hidden_layers=n_layers,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=128,
        )
        repository = models_root / "EleutherAI" / name
        write_model(repository, config)
        write_model(repository.with_name(f"{name}@step1000"), config, seed=1)
        for folder in (repository, repository.with_name(f"{name}@step1000")):
            write_byte_level_tokenizer(folder, "GPTNeoXTokenizer")
        for layer in (1, 3, 5, 6, 7):
            write_sparsify(models_root / "EleutherAI" / f"sae-{name}-32k" / f"layers.{layer}", d_model, seed=layer)
    for seed, name in enumerate(("32k", "32k_seed32", "64k")):
        write_sparsify(models_root / "wlog" / f"sae_pythia_70m_{name}" / "layers.3", 16, seed=40 + seed)


def write_mamba(models_root):
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=24, state_size=4, time_step_rank=2)
    write_model(models_root / "state-spaces/mamba-130m-hf", config)
    write_byte_level_tokenizer(models_root / "state-spaces/mamba-130m-hf", "GPTNeoXTokenizer")


def write_gemma(models_root):
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32}
    shape |= {"vocab_size": 2400, "max_position_embeddings": 256}
    for name, config in (
        ("gemma-2b", GemmaConfig(hidden_size=16, num_hidden_layers=18, **shape)),
        ("gemma-2-2b", Gemma2Config(hidden_size=24, num_hidden_layers=26, **shape)),
        ("gemma-2-9b", Gemma2Config(hidden_size=32, num_hidden_layers=42, **shape)),
    ):
        write_model(models_root / "google" / name, config, shard_size="30KB")
        write_gemma_tokenizer(models_root / "google" / name)
    folder = "gemma_2b_blocks.12.hook_resid_post_16384"
    scaled = {"normalize_activations": "expected_average_only_in"}
    scaled |= {"model_name": "gemma-2b"}
    write_old_saelens(models_root / "jbloom/Gemma-2b-Residual-Stream-SAEs" / folder, 16, "standard", layer=12, **scaled)
    for layer in (12, 14):
        write_gemma_scope(models_root / "google/gemma-scope-2b-pt-res" / gemma_scope_folder(layer), 24)
    write_gemma_scope(models_root / "google/gemma-scope-9b-pt-res" / gemma_scope_folder(20, "9b"), 32)


def write_llama(models_root):
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 32, "vocab_size": VOCABULARY}
    for name in ("Meta-Llama-3-8B-Instruct", "Llama-3.1-8B"):
        repository = models_root / "meta-llama" / name
        write_model(repository, LlamaConfig(hidden_size=16, num_hidden_layers=32, **shape), shard_size="100KB")
        write_byte_level_tokenizer(repository, "PreTrainedTokenizerFast", bos=True)
    folder = "Juliushanhanhan/llama-3-8b-it-res/blocks.25.hook_resid_post"
    write_old_saelens(models_root / folder, 16, "gated", layer=25, model_name="meta-llama/Meta-Llama-3-8B-Instruct")
    write_llama_scope(models_root / "fnlp/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L25R-8x", 16)


def write_someones_saes(models_root):
    """A repository that is no release: an SAE at its top and one in a folder, as `upload.repository` pushes them."""
    for seed, folder in ((1, "someone/saes"), (2, "someone/saes/layer_3")):
        sae = TopKSAE(TopKSAEConfig(d_in=16, d_sae=D_SAE, k=16, apply_b_dec_to_input=True))
        sae.load_state_dict(dict(zip(("W_enc", "b_enc", "W_dec", "b_dec"), random_weights(16, seed), strict=True)))
        sae.save_model(models_root / folder)


def write_other_releases(models_root):
    """SAEs of SAELens's list whose layouts, factors or settings are particular."""
    centred = models_root / "jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre"
    write_old_saelens(centred, 16, "standard", layer=8, hook_point="blocks.8.hook_resid_pre", model_name="gpt2-small")
    rescaled = models_root / "JoshEngels/Mistral-7B-Residual-Stream-SAEs/mistral_7b_layer_8"
    write_old_saelens(rescaled, 16, "standard", layer=8)
    write_gemma_scope(models_root / "google/gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6", 24)
    write_gemma_scope(models_root / "google/gemma-scope-2b-pt-transcoders/layer_14/width_16k/average_l0_8", 24)
    write_gemma_scope_2(models_root / "google/gemma-scope-2-270m-pt/resid_post/layer_12_width_16k_l0_big", 24)
    write_r1_distill(models_root / "fnlp/Llama-Scope-R1-Distill/800M-Slimpajama-0-OpenR1-Math-220k/L1R", 16)
    write_dictionary_learning(models_root / SAEBENCH.replace(":", "/"), 16)
    write_qwen_scope(models_root / "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer3.sae.pt", 16)


def write_gemma_scope_2(directory, d_in):
    names = ("w_enc", "b_enc", "w_dec", "b_dec")
    state = dict(zip(names, random_weights(d_in, 12), strict=True))
    directory.mkdir(parents=True)
    save_file(state | {"threshold": torch.full((D_SAE,), 0.1)}, directory / "params.safetensors")
    hook = {"hf_hook_point_in": "model.layers.12.output", "hf_hook_point_out": None}
    write_json(directory / "config.json", {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt"} | hook)


def write_r1_distill(directory, d_in):
    w_enc, b_enc, w_dec, b_dec = random_weights(d_in, 1)
    directory.mkdir(parents=True)
    state = {"encoder.weight": w_enc.T, "encoder.bias": b_enc, "decoder.weight": w_dec.T, "decoder.bias": b_dec}
    state |= {"log_jumprelu_threshold": torch.full((D_SAE,), 0.2).log()}
    save_file({name: each.contiguous() for name, each in state.items()}, directory / "sae_weights.safetensors")
    hook = {"hook_point_in": "blocks.1.hook_resid_post", "hook_point_out": "blocks.1.hook_resid_post"}
    about = {
        "d_model": d_in,
        "expansion_factor": D_SAE // d_in,
        "act_fn": "jumprelu",
        "norm_activation": "dataset-wise",
    }
    write_json(directory / "config.json", about | hook | {"sparsity_include_decoder_norm": True})


def write_dictionary_learning(directory, d_in):
    w_enc, b_enc, w_dec, b_dec = random_weights(d_in, 3)
    directory.mkdir(parents=True)
    state = {"encoder.weight": w_enc.T, "encoder.bias": b_enc, "decoder.weight": w_dec.T, "b_dec": b_dec}
    state |= {"k": torch.tensor(16), "threshold": torch.tensor(0.3)}
    torch.save({name: each.contiguous() for name, each in state.items()}, directory / "ae.pt")
    about = {"dict_class": "AutoEncoderTopK", "activation_dim": d_in, "dict_size": D_SAE, "k": 16, "layer": 3}
    about |= {"lm_name": "EleutherAI/pythia-70m-deduped", "submodule_name": "resid_post_layer_3"}
    write_json(directory / "config.json", {"trainer": about, "buffer": {"ctx_len": 128, "io": "out"}})


def write_qwen_scope(file, d_in):
    w_enc, b_enc, w_dec, b_dec = random_weights(d_in, 3)
    file.parent.mkdir(parents=True)
    state = {"W_enc": w_enc.T, "W_dec": w_dec.T, "b_enc": b_enc, "b_dec": b_dec}
    torch.save({name: each.contiguous() for name, each in state.items()}, file)


def write_tinystories(models_root):
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        intermediate_size=32,
        attention_types=[[["global"], 1]],
        max_position_embeddings=128,
    )
    repository = models_root / "roneneldan/TinyStories-1Layer-21M"
    write_model(repository, config)
    state = torch.nn.Module.state_dict(AutoModelForCausalLM.from_pretrained(repository))
    torch.save(state, repository / "pytorch_model.bin")  # that repository holds no safetensors
    (repository / "model.safetensors").unlink()
    write_byte_level_tokenizer(repository, "GPT2Tokenizer")


def write_model(repository, config, seed=0, shard_size="1GB"):
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(repository, max_shard_size=shard_size)


def write_byte_level_tokenizer(repository, tokenizer_class, bos=False):
    tokenizer = Tokenizer.from_file(str(ASSETS / "tokenizer/tokenizer.json"))
    end = "<|endoftext|>"
    if bos:
        template = processors.TemplateProcessing(single=f"{end} $A", special_tokens=[(end, tokenizer.token_to_id(end))])
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    tokenizer.save(str(repository / "tokenizer.json"))
    special = {"bos_token": end, "eos_token": end, "unk_token": end}
    write_json(repository / "tokenizer_config.json", {"tokenizer_class": tokenizer_class} | special)


def write_gemma_tokenizer(repository):
    """Byte-fallback BPE over text whose spaces are written as U+2581, with a beginning-of-sequence token."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=2400, special_tokens=[*special, *every_byte])
    tokenizer.train_from_iterator(list(read_texts("embedded:stories/heldout.parquet"))[:400], trainer)
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in special])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer.save(str(repository / "tokenizer.json"))
    names = dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), special, strict=True))
    about = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False}
    write_json(repository / "tokenizer_config.json", about | names)


def random_weights(d_in, seed=0):
    """(W_enc (d_in, D_SAE), b_enc, W_dec (D_SAE, d_in), b_dec): rows of norms 0.5 to 2 along encoder columns."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(D_SAE, d_in, generator=generator), dim=1)
    b_enc, b_dec = (torch.randn(n, generator=generator) * 0.01 for n in (D_SAE, d_in))
    norms = 0.5 + 1.5 * torch.rand(D_SAE, 1, generator=generator)
    return directions.T.contiguous(), b_enc, norms * directions, b_dec


def write_sparsify(directory, d_in, seed=0, k=16):
    w_enc, b_enc, w_dec, b_dec = random_weights(d_in, seed)
    directory.mkdir(parents=True)
    state = {"encoder.weight": w_enc.T.contiguous(), "encoder.bias": b_enc, "W_dec": w_dec, "b_dec": b_dec}
    save_file(state, directory / "sae.safetensors")
    about = {"expansion_factor": 32, "normalize_decoder": True, "num_latents": D_SAE, "k": k, "signed": False}
    write_json(directory / "cfg.json", about | {"d_in": d_in})


def write_old_saelens(directory, d_in, architecture, layer, **settings):
    """SAELens's format before version 6, in which these releases were published."""
    w_enc, b_enc, w_dec, b_dec = random_weights(d_in, layer)
    state = {"W_enc": w_enc, "W_dec": w_dec, "b_dec": b_dec}
    if architecture == "gated":
        state |= {"b_gate": b_enc, "b_mag": b_enc * 0.5, "r_mag": torch.full((D_SAE,), 0.1)}
    else:
        state |= {"b_enc": b_enc, "scaling_factor": torch.ones(D_SAE)}
    directory.mkdir(parents=True)
    save_file(state, directory / "sae_weights.safetensors")
    save_file({"sparsity": torch.zeros(D_SAE)}, directory / "sparsity.safetensors")
    about = {"architecture": architecture, "d_in": d_in, "d_sae": D_SAE, "dtype": "torch.float32", "device": "cuda"}
    about |= {"hook_point": f"blocks.{layer}.hook_resid_post", "hook_point_layer": layer, "activation_fn_str": "relu"}
    about |= {"apply_b_dec_to_input": architecture != "gated", "normalize_activations": "none"}
    about |= {"finetuning_scaling_factor": False, "prepend_bos": True, "context_size": 1024, "model_name": "some"}
    write_json(directory / "cfg.json", about | settings)


def gemma_scope_folder(layer, size="2b"):
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    saes = get_pretrained_saes_directory()[f"gemma-scope-{size}-pt-res-canonical"].saes_map
    return saes[f"layer_{layer}/width_16k/canonical"]


def write_gemma_scope(directory, d_in):
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    arrays = {name: each.numpy() for name, each in zip(names, random_weights(d_in, 14), strict=True)}
    directory.mkdir(parents=True)
    np.savez(directory / "params.npz", threshold=np.full(D_SAE, 0.1, np.float32), **arrays)


def write_llama_scope(directory, d_in):
    w_enc, b_enc, w_dec, b_dec = random_weights(d_in, 25)
    (directory / "checkpoints").mkdir(parents=True)
    state = {"encoder.weight": w_enc.T, "encoder.bias": b_enc, "decoder.weight": w_dec.T, "decoder.bias": b_dec}
    state = {name: each.to(torch.bfloat16).contiguous() for name, each in state.items()}
    save_file(state, directory / "checkpoints/final.safetensors")
    norm = d_in**0.5 / 2.0237154150197627  # SAELens's scaling factor for block 25
    about = {"d_model": d_in, "d_sae": D_SAE, "jump_relu_threshold": 0.05, "hook_point_in": "blocks.25.hook_resid_post"}
    about |= {"hook_point_out": "blocks.25.hook_resid_post", "sparsity_include_decoder_norm": True}
    about |= {"dataset_average_activation_norm": {"in": norm, "out": norm}, "norm_activation": "dataset-wise"}
    write_json(directory / "hyperparams.json", about)


def write_corpus(repository, texts, pattern):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in range(2):
        file = repository / pattern.format(part)
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": texts[part::2]}), file)
    (repository / "README.md").write_text("---\nlicense: cc0-1.0\n---\nTexts.\n")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
