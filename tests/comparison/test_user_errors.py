import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from analogue.embedded import ASSETS
from analogue.errors import UserError


def other_tokenizer(tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(ASSETS / "stories-12", directory)
    vocabulary = {"<|endoftext|>": 0, "a": 1}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<|endoftext|>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(directory)
    return f"model_b.name={directory}"


def model_of_nothing_but_nan(tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(ASSETS / "stories-12", directory)
    weights = load_file(directory / "model.safetensors")
    name = next(name for name in weights if "layers.2.mlp" in name)
    save_file(weights | {name: weights[name] * torch.nan}, directory / "model.safetensors", {"format": "pt"})
    return f"model_b.name={directory}"


def a_file_for_a_folder(tmp_path):
    (tmp_path / "file").touch()
    return f"output_dir={tmp_path}/file"


def empty_text(tmp_path):
    (tmp_path / "empty.txt").touch()
    return f"data.path={tmp_path}/empty.txt"


def texts_of_one_token(tmp_path):
    (tmp_path / "short.jsonl").write_text('{"text": "a"}\n' * 3)
    return f"data.path={tmp_path}/short.jsonl"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("layer_a=6", "layer_a=6: embedded:stories-6 has blocks 0 to 5"),
        ("layer_b=-1", "layer_b=-1"),
        ("sae_a.path=embedded:stories-12-saes/layer_3", "d_model 96"),
        ("sae_b.path=/no/such/sae", "sae_b.path=/no/such/sae: is not a directory"),
        ("model_a.name=/no/such/model", "model_a.name=/no/such/model: is not a directory"),
        ("model_a.name=embedded:stories-7", "there are embedded:stories"),
        ("data.path=nothing.jsonl", "data.path=nothing.jsonl: is not a file"),
        ("metrics=[svca]", "metrics=svca"),
        ("metrics=[]", "metrics"),
        ("null.n=0", "null.n=0"),
        ("data.seq_len=1", "data.seq_len=1"),
        ("seed=-1", "seed=-1"),
        ("model_a.dtype=float12", "model_a.dtype=float12"),
        ("trainer.devices=0", "trainer.devices=0: is refused by Lightning"),
        ("trainer.precision=lots", "trainer.precision=lots: is refused by Lightning"),
        ("trainer.devices=999", "trainer.devices=999: this machine's cores serve at most"),
        ("cache.max_gb=-1", "cache.max_gb=-1"),
        ("cache.dir=/dev/null", "cache.dir=/dev/null: cannot be written to .*; choose another directory, or cache=off"),
        ("data.seq_len=2000", "data.seq_len=2000: .* reads at most"),
        ("filters.minimum_correlation=1.5", "filters.minimum_correlation=1.5: must lie between -1 and 1"),
        ("model_a.device_map=bogus", "model_a.device_map=bogus"),
        (model_of_nothing_but_nan, "model_b.name=.*: puts out values that are not finite after block 6 in float32"),
        (a_file_for_a_folder, "output_dir=.*: cannot be written to"),
        (other_tokenizer, "model_b.name=.*has another tokenizer than embedded:stories-6"),
        (empty_text, "data.path=.*holds no text"),
        ("trainer.precision=bf16-true", "converts the weights of all modules; use 32-true, .*, and model_a.dtype"),
        ("trainer.precision=64-true", "trainer.precision=64-true: converts the weights"),
    ],
)
def test_one_sentence_names_the_key_and_nothing_is_written(compare, tmp_path, override, told):
    override = override(tmp_path) if callable(override) else override
    with pytest.raises(UserError, match=told) as error:
        compare(f"cache.dir={tmp_path}/cache", override)  # nothing is found there that would spare the model
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_text_without_a_token_that_counts_is_refused(compare, tmp_path):
    options = ("data=text", texts_of_one_token(tmp_path), "data.exclude_bos=true", "data.exclude_special=true")
    told = r"data.path=.*: holds no token that counts with data.exclude_bos and data.exclude_special;"
    with pytest.raises(UserError, match=told):
        compare(*options)
