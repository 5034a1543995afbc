"""Models in GGUF files, against the model that was written."""

import sys

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from analogue.embedded import ASSETS
from analogue.errors import NotFound, Unavailable
from analogue.models import open_model
from tests.models.gguf_model import SIZES, write_gguf

pytest.importorskip("gguf")
IDS = torch.arange(20).reshape(2, 10)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=False)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    directory = tmp_path_factory.mktemp("gguf")
    write_gguf(model, directory / "tiny.gguf")
    return directory, model


def test_a_gguf_file_is_the_model_that_was_written(written):
    directory, model = written
    opened = open_model(directory, gguf_file="tiny.gguf")
    assert (opened.n_layers, opened.d_model, opened.n_positions) == (2, 32, 128)
    stream = opened.load()
    with torch.no_grad():
        expected = model(input_ids=IDS, output_hidden_states=True)
    torch.testing.assert_close(stream(IDS, IDS >= 0, [0])[0], expected.hidden_states[1], rtol=1e-4, atol=1e-5)
    with_head = opened.load(with_head=True).model(IDS).logits
    torch.testing.assert_close(with_head, expected.logits, rtol=1e-4, atol=1e-4)


def test_its_tokenizer_reads_the_same_tokens(written):
    ours = open_model(ASSETS / "stories-6").tokenizer
    text = "Once upon a time, there was a little dog."
    assert open_model(written[0], gguf_file="tiny.gguf").tokenizer(text)["input_ids"] == ours(text)["input_ids"]


def test_files_have_fingerprints_of_their_own(written):
    directory, model = written
    write_gguf(model, directory / "other.gguf")
    one, other = (open_model(directory, gguf_file=f"{name}.gguf").fingerprint for name in ("tiny", "other"))
    assert one != other


def test_a_missing_file_lists_those_that_are_there(written):
    with pytest.raises(NotFound, match=r"^gguf_file=large.gguf: is not in .*: .*tiny.gguf"):
        open_model(written[0], gguf_file="large.gguf")


def test_without_the_package_the_answer_names_it(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.setattr("analogue.models.loading.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"^gguf_file=tiny.gguf: is read with the package gguf; install it"):
        open_model(written[0], gguf_file="tiny.gguf")


def test_a_folder_that_holds_a_gguf_file_alone_says_so(written):
    with pytest.raises(Unavailable, match=r"cannot be loaded .* name the file that lies there: `gguf_file`=\w+.gguf"):
        open_model(written[0]).load()
