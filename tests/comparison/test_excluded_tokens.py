"""Tokens that do not count: neither side's statistics see them, and the record says how many they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import analogue
from analogue.comparison import collect_activations, open_side, tokenise_corpus
from analogue.comparison.activations import without_outliers
from analogue.embedded import locate
from analogue.models import open_model

A = analogue.Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_{layer}")
B = analogue.Side("embedded:stories-12", 6, "embedded:stories-12-saes/layer_{layer}")
SMALL = {"null": analogue.Null(n=5), "device": "cpu", "progress": False, "metrics": ["rsa"]}
TEXTS = [f"Once there was a dog named {name}. It ran.<|endoftext|>Then it slept." for name in ("Tom", "Sam", "Lily")]


def norms_of(side, corpus):
    """Written out: the norm of the residual stream at every token that counts."""
    opened = open_side(side, "a")
    stream = open_model(side.model).load()
    sequences = tokenise_corpus(corpus, opened, opened).sequences["a"]
    ids, mask = torch.from_numpy(sequences.ids), torch.from_numpy(sequences.mask)
    resid = stream(ids, mask, [side.layer])[side.layer]
    return resid[torch.from_numpy(sequences.counted)].norm(dim=-1).numpy()


def test_special_tokens_are_left_out_and_counted():
    corpus = analogue.Corpus(TEXTS, n_sequences=3, seq_len=40)
    plain, left = (
        analogue.compare(A, B, corpus=each, **SMALL).record.corpus
        for each in (corpus, replace(corpus, exclude_special=True))
    )
    assert plain.excluded == {}
    assert left.excluded == {"special": {"a": 3, "b": 3}}
    assert left.n_tokens == plain.n_tokens - 3
    assert left.tokens_sha256 != plain.tokens_sha256


@pytest.mark.parametrize("factor", [1.2, 1.5])
def test_outliers_of_either_side_are_left_out_of_both(factor):
    corpus = analogue.Corpus("embedded:stories/heldout.parquet", n_sequences=5, seq_len=64, packing=True)
    norms = [norms_of(side, corpus) for side in (A, B)]
    out = [each > factor * np.median(each) for each in norms]
    assert out[0].any()
    assert out[1].any()
    assert (out[0] != out[1]).any()
    record = analogue.compare(
        A, B, corpus=analogue.Corpus(**vars(corpus) | {"exclude_outliers": factor}), **SMALL
    ).record
    assert record.corpus.excluded == {"outliers": {"a": int(out[0].sum()), "b": int(out[1].sum())}}
    assert record.corpus.n_tokens == int((~(out[0] | out[1])).sum())
    assert record.n_model_passes == 4
    assert record.config["data"]["exclude_outliers"] == factor


def with_a_sink(side):
    """The side's model, with a token (that for "dog") whose embedding dwarfs the others."""
    model = AutoModelForCausalLM.from_pretrained(locate(side.model, "model"), dtype=torch.float32)
    tokenizer = open_model(side.model).tokenizer
    token = tokenizer(" dog")["input_ids"][0]
    with torch.no_grad():
        model.get_input_embeddings().weight[token] *= 3000
    return replace(side, model=model, tokenizer=tokenizer)


def test_tokens_that_dwarf_the_rest_are_told_of_and_left_out():
    a = with_a_sink(A)
    corpus = analogue.Corpus(TEXTS, n_sequences=3, seq_len=40)
    told = analogue.compare(a, B, corpus=corpus, **SMALL).record
    (warning,) = [each for each in told.warnings if "median norm" in each]
    assert warning.startswith(
        f"3 of {told.corpus.n_tokens} tokens have more than 10 times the median norm in resid_post"
    )
    assert "`exclude_outliers`=10 leaves such tokens out" in warning
    (misfit,) = [each for each in told.warnings if "SAE a explains" in each]
    assert misfit.endswith(": the tokens of huge norms, or a wrong layer, hook or scaling?")
    left = analogue.compare(a, B, corpus=replace(corpus, exclude_outliers=10), **SMALL).record
    assert not [each for each in left.warnings if "median norm" in each]
    assert left.corpus.excluded == {"outliers": {"a": 3, "b": 0}}
    assert left.corpus.n_tokens == told.corpus.n_tokens - 3


def test_what_is_left_has_the_activations_that_it_had(tmp_path):
    corpus = analogue.Corpus("embedded:stories/heldout.parquet", n_sequences=5, seq_len=64, packing=True)
    a, b = open_side(A, "a"), open_side(B, "b")
    text = tokenise_corpus(corpus, a, b)
    cache = analogue.Cache(tmp_path)
    left, n_passes = without_outliers([a, b], text, 1.5, cache=cache)
    stays = left.sequences["a"].counted[text.sequences["a"].counted]
    assert 0 < (~stays).sum() < 100
    assert n_passes == 2
    assert without_outliers([a, b], text, 1.2, cache=cache)[1] == 0  # the norms are in the store
    before, after = (collect_activations([a, b], each, cache=cache) for each in (text, left))
    for label in "ab":
        all_rows, rows = (each.activations[label].activations.to_scipy().toarray() for each in (before, after))
        np.testing.assert_allclose(rows, all_rows[stays], rtol=1e-4, atol=1e-4)
        assert before.keys[label] != after.keys[label]


def test_outliers_beyond_all_tokens_leave_everything():
    corpus = analogue.Corpus(TEXTS, n_sequences=3, seq_len=40)
    plain = analogue.compare(A, B, corpus=corpus, **SMALL).record
    same = analogue.compare(A, B, corpus=replace(corpus, exclude_outliers=1e6), **SMALL).record
    assert same.corpus.excluded == {"outliers": {"a": 0, "b": 0}}
    assert same.funnel == plain.funnel
    assert same.corpus.tokens_sha256 == plain.corpus.tokens_sha256


@pytest.mark.parametrize("factor", [0.5, "10", True])
def test_factors_that_make_no_sense_are_refused(factor):
    with pytest.raises(analogue.InvalidArgument, match=r"^exclude_outliers="):
        analogue.Corpus(TEXTS, exclude_outliers=factor)
