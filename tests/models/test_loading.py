import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    RobertaConfig,
    T5Config,
    XLNetConfig,
)

from analogue.embedded import ASSETS
from analogue.errors import InvalidArgument, NotFound, Unavailable
from analogue.models import directory_fingerprint, open_model, tokenizer_fingerprint


def test_an_embedded_model_opens_without_a_network():
    model = open_model("embedded:stories-6")
    assert (model.n_layers, model.d_model) == (6, 96)
    stream = model.load()
    assert next(stream.parameters()).dtype == torch.float32


@pytest.mark.parametrize("layer", [-1, 6, 99])
def test_a_layer_out_of_range_names_the_range(layer):
    with pytest.raises(InvalidArgument, match=r"^layer=-?\d+: .* has blocks 0 to 5"):
        open_model("embedded:stories-6").check_layer(layer)


@pytest.mark.parametrize("name", ["/no/such/directory", "./nowhere", "some/deep/path"])
def test_a_missing_directory_is_one_sentence(name):
    with pytest.raises(NotFound, match=f"^model={name}: is not a directory"):
        open_model(name)


def test_a_directory_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(Unavailable, match=r"^model=.*: cannot be loaded"):
        open_model(str(tmp_path))


def test_fingerprints_follow_contents_not_names(tmp_path):
    copy = shutil.copytree(ASSETS / "stories-6", tmp_path / "copy")
    assert directory_fingerprint(copy) == directory_fingerprint(ASSETS / "stories-6")
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert directory_fingerprint(copy) != directory_fingerprint(ASSETS / "stories-6")


def test_tokenizers_are_compared_by_content(tmp_path):
    ours = open_model("embedded:stories-6").tokenizer
    copy = shutil.copytree(ASSETS / "stories-6", tmp_path / "copy")
    assert tokenizer_fingerprint(open_model(str(copy)).tokenizer) == tokenizer_fingerprint(ours)
    contents = json.loads((copy / "tokenizer.json").read_text())
    contents["model"]["merges"][-1], contents["model"]["merges"][-2] = contents["model"]["merges"][-2:]
    (copy / "tokenizer.json").write_text(json.dumps(contents))
    assert tokenizer_fingerprint(open_model(str(copy)).tokenizer) != tokenizer_fingerprint(ours)


def test_weights_that_are_missing_are_not_made_up(tmp_path):
    copy = shutil.copytree(ASSETS / "stories-6", tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    save_file({name: each for name, each in weights.items() if "layers.2.mlp" not in name}, copy / "model.safetensors")
    with pytest.raises(Unavailable, match=r"^model=.*: holds no weights for layers\.2\.mlp"):
        open_model(str(copy)).load()


def saved(directory, config):
    """A directory with a model of random weights and the embedded tokenizer."""
    AutoModel.from_config(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ASSETS / "stories-6" / name, directory / name)
    return str(directory)


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("config_class", "settings", "longest"),
    [
        (RobertaConfig, {"max_position_embeddings": 42, "pad_token_id": 1}, 40),
        (BertConfig, {"max_position_embeddings": 42, "pad_token_id": 0}, 42),
        (GPT2Config, {"n_positions": 42}, 42),
    ],
)
def test_sequences_may_be_as_long_as_the_model_has_positions(tmp_path, config_class, settings, longest):
    model = open_model(saved(tmp_path, config_class(**SIZES, **settings, vocab_size=4096)))
    model.check_seq_len(longest)
    ids = torch.ones(1, longest, dtype=torch.long)
    assert model.load()(ids + 1, ids > 0, [1])[1].shape == (1, longest, 16)
    with pytest.raises(InvalidArgument, match=rf"^seq_len={longest + 1}: .* \(`model`\) reads at most {longest} tok"):
        model.check_seq_len(longest + 1)


def test_minus_one_position_is_no_limit(tmp_path):
    config = XLNetConfig(d_model=16, n_layer=2, n_head=2, d_inner=32, vocab_size=4096)
    assert config.max_position_embeddings == -1
    model = open_model(saved(tmp_path, config))
    assert model.n_positions is None
    model.check_seq_len(10**6)


def test_a_tokenizer_of_another_model_is_refused():
    model = open_model("embedded:stories-6")
    model.check_token_ids(model.vocab_size - 1)
    with pytest.raises(InvalidArgument, match=r"^model=.*: has embeddings for 3072 tokens, but .* makes token 3072"):
        model.check_token_ids(model.vocab_size)


def test_a_directory_without_a_tokenizer_is_one_sentence(tmp_path):
    for file in ("config.json", "model.safetensors"):
        shutil.copy(ASSETS / "stories-6" / file, tmp_path / file)
    with pytest.raises(NotFound, match="tokenizer"):
        open_model(str(tmp_path))


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    directory = saved(tmp_path, T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=50))
    with pytest.raises(InvalidArgument, match="has an encoder and a decoder"):
        open_model(directory)


def test_blocks_that_cannot_be_told_apart_are_one_sentence(tmp_path):
    model = open_model(saved(tmp_path, AlbertConfig(**SIZES, embedding_size=8, vocab_size=50)))
    with pytest.raises(InvalidArgument, match=r"^model=.*AlbertModel holds no list of 2 blocks"):
        model.load()


def test_code_that_comes_with_a_model_is_never_run_and_never_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    with pytest.raises(InvalidArgument, match="needs code of its own, which is never run"):
        open_model(str(tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_device_map_changes_no_number():
    ids = torch.arange(12).reshape(2, 6)
    streams = [open_model("embedded:stories-6", device_map=device_map).load() for device_map in (None, "auto")]
    plain, spread = (stream(ids, ids >= 0, [2])[2] for stream in streams)
    assert torch.equal(plain, spread)


def test_loading_says_nothing(capfd):
    open_model("embedded:stories-6").load()
    assert capfd.readouterr() == ("", "")


def test_a_model_in_bfloat16_takes_little_more_than_its_weights(tmp_path):
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 5, "num_attention_heads": 8}
    AutoModelForCausalLM.from_config(LlamaConfig(**sizes, vocab_size=4096), dtype=torch.bfloat16).save_pretrained(
        tmp_path
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ASSETS / "stories-6" / name, tmp_path / name)
    measured = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(measured.stdout.split()[-1]) <= 1.3


PEAK = """
import resource, sys, torch
from analogue.models import open_model

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

model = open_model(sys.argv[1])
ids = torch.zeros(1, 2, dtype=torch.long)
before = peak()
stream = model.load("bfloat16")
stream(ids, ids == 0, [4])
print((peak() - before) / sum(each.numel() * each.element_size() for each in stream.parameters()))
"""
