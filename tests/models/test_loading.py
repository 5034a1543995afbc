import json
import shutil

import pytest
import torch

from analogue.embedded import ASSETS
from analogue.errors import UserError
from analogue.models import directory_fingerprint, open_model, tokenizer_fingerprint


def test_an_embedded_model_opens_without_a_network():
    model = open_model("embedded:stories-6")
    assert (model.n_layers, model.d_model) == (6, 96)
    stream = model.load()
    assert next(stream.parameters()).dtype == torch.float32


@pytest.mark.parametrize("layer", [-1, 6, 99])
def test_a_layer_out_of_range_names_the_range(layer):
    with pytest.raises(UserError, match=r"layer_a=-?\d+: .* has blocks 0 to 5"):
        open_model("embedded:stories-6").check_layer(layer, "layer_a")


@pytest.mark.parametrize("name", ["/no/such/directory", "./nowhere", "some/deep/path"])
def test_a_missing_directory_is_one_sentence(name):
    with pytest.raises(UserError, match=f"model_a.name={name}: is not a directory"):
        open_model(name, key="model_a.name")


def test_a_directory_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded"):
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
