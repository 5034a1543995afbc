"""`explore=true` writes the explorer beside the record, `analogue explore` writes the same page from the record."""

import json

import pytest
from sae_lens import SAE
from transformers import AutoModelForCausalLM, AutoTokenizer

import analogue
from analogue import Side
from analogue.cli.explore import explore_directory, inputs_of
from analogue.cli.explore import main as explore
from analogue.embedded import ASSETS
from analogue.errors import UserError
from tests.explorer_pages import PageData

pytest.importorskip("umap")


@pytest.fixture
def explored(compare, tmp_path):
    concepts = ("concepts=paper", "concepts.n=9")
    compare("explore=true", "metrics=[rsa]", *concepts, "filters.top_tokens=4", "data.exclude_bos=true")
    return tmp_path / "run"


def test_the_page_of_a_finished_job_is_that_of_the_job_itself(explored, tmp_path, capsys):
    assert explore([str(explored), "--output", str(tmp_path / "later.html")]) == 0
    assert (tmp_path / "later.html").read_bytes() == (explored / "explorer.html").read_bytes()
    page = PageData(explored / "explorer.html")
    assert page.index["top_a"].shape[1] == 4
    assert "Time" in page.facts["concepts"]
    n_tokens = json.loads((explored / "result.json").read_text())["corpus"]["n_tokens"]
    assert len(page.index["units"]) == n_tokens < 12 * 100
    assert f"written to {tmp_path / 'later.html'}" in capsys.readouterr().out


def test_a_record_of_the_library_is_explored_too(activation_cache, tmp_path):
    a = Side("embedded:stories-6", 2, "embedded:stories-6-saes/layer_{layer}")
    made = analogue.compare(a, a, n_sequences=6, seq_len=80, metrics=["rsa"], null=analogue.Null(n=9), progress=False)
    made.explore(tmp_path / "made.html", progress=False)
    made.save(tmp_path / "run")
    written = explore_directory(tmp_path / "run")
    assert written.read_bytes() == (tmp_path / "made.html").read_bytes()
    assert (PageData(written).index["cosine"] > 0.999).all()  # a side against itself


def test_what_was_an_object_in_memory_cannot_be_opened_again():
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "stories-6")
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "stories-6")
    a = Side(model, 3, "random:seed=0", tokenizer=tokenizer)
    b = Side("embedded:stories-6", 3, SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3"))
    texts = ["Once there was a dog. " * 9, "A cat sat on a mat. " * 9]
    config = analogue.compare(
        a, b, corpus=texts, metrics=["rsa"], null=analogue.Null(n=5), progress=False
    ).record.config
    saes, stories = "embedded:stories-6-saes/layer_3", "embedded:stories/heldout.parquet"
    for key, kind, name in (
        ("model_a.name", type(model).__name__, "embedded:stories-6"),
        ("sae_b.path", type(b.sae).__name__, saes),
        ("data.path", "2 texts", stories),
    ):
        with pytest.raises(UserError, match=rf"^{key}=<{kind}>: was an object in memory .* call comparison.explore"):
            inputs_of(config)
        section, field = key.split(".")
        config[section][field] = name
    assert inputs_of(config).b.sae == saes


def test_other_text_than_was_compared_is_refused(explored, tmp_path, capsys):
    record = json.loads((explored / "result.json").read_text())
    changed = record | {"corpus": record["corpus"] | {"tokens_sha256": "0" * 64}}
    (explored / "result.json").write_text(json.dumps(changed))
    assert explore([str(explored)]) == 1
    expected = (
        "error: data.path=embedded:stories/heldout.parquet: holds other text than when the features were compared"
    )
    assert expected in capsys.readouterr().err


def test_errors_are_sentences(tmp_path, capsys, monkeypatch, compare):
    assert explore([str(tmp_path)]) == 1
    assert f"error: directory={tmp_path}: holds no result.json" in capsys.readouterr().err
    with pytest.raises(UserError, match="no_such_key"):
        inputs_of({"data": {"no_such_key": 1}})
    monkeypatch.setattr("analogue.reporting.explorer.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"explore=true: .*pip install 'analogue\[explore\]'"):
        compare("explore=true")
