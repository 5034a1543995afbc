"""Padding enters no statistic: change it, and every number stays."""

import json
import shutil

import pytest

from analogue.embedded import ASSETS

MODELS = ("stories-6", "stories-12")
TEXTS = ["Once upon a time, there was a little girl.", "The dog ran.", "A cat sat on the mat and slept all day."]


@pytest.fixture
def compare_with_tokenizer(compare, tmp_path):
    """Compares short documents, one a sequence, with both models' tokenizers changed."""
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 5))

    def run(name, *overrides, **changes):
        for model in MODELS:
            folder = shutil.copytree(ASSETS / model, tmp_path / name / model)
            settings = json.loads((folder / "tokenizer_config.json").read_text()) | changes
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        data = ("data=text", f"data.path={tmp_path}/texts.jsonl", "data.n_sequences=15", "data.seq_len=20")
        small = ("filters=none", "filters.minimum_correlation=0.1", "null.n=9", "cache=off")
        names = (f"model_{side}.name={tmp_path}/{name}/{model}" for side, model in zip("ab", MODELS, strict=True))
        return compare(*data, *small, *names, *overrides)

    return run


def test_side_and_token_of_the_padding_change_nothing(compare_with_tokenizer):
    plain = compare_with_tokenizer("plain")
    assert plain.corpus.n_tokens < 15 * 20
    changed = compare_with_tokenizer("changed", padding_side="left", pad_token="!")
    assert changed.corpus.tokens_sha256 == plain.corpus.tokens_sha256
    assert changed.similarity == plain.similarity
    assert changed.funnel == plain.funnel
    assert changed.side_a.explained_variance == plain.side_a.explained_variance


def test_longer_sequences_only_add_padding(compare_with_tokenizer):
    plain = compare_with_tokenizer("plain")
    longer = compare_with_tokenizer("longer", "data.seq_len=40")
    assert longer.corpus.n_tokens == plain.corpus.n_tokens
    for ours, theirs in zip(longer.similarity, plain.similarity, strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-3)


def test_padding_counts_where_the_published_code_counts_it(compare_with_tokenizer):
    assert compare_with_tokenizer("counted", "data.count_padding=true").corpus.n_tokens == 15 * 20
