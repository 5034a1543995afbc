import copy
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import processors

from analogue.corpus import TextUnits, token_strings, token_units, tokenise, without_bos
from analogue.models import open_model

TEXTS = ["Once upon a time, there was a little girl.", "The dog ran.", "A cat sat on the mat and slept all day long."]


@pytest.fixture(scope="module")
def tokenizer():
    return open_model("embedded:stories-6").tokenizer


def test_documents_are_truncated_and_padded_one_to_a_sequence(tokenizer):
    sequences = tokenise(TEXTS, tokenizer, n_sequences=3, seq_len=6, packing=False)
    for text, ids, mask in zip(TEXTS, sequences.ids, sequences.mask, strict=True):
        expected = tokenizer(text)["input_ids"][:6]
        assert ids[mask].tolist() == expected
        assert mask.tolist() == [True] * len(expected) + [False] * (6 - len(expected))


def test_packing_strings_documents_together_and_loses_nothing(tokenizer):
    sequences = tokenise(TEXTS, tokenizer, n_sequences=99, seq_len=7, packing=True)
    expected = [token for text in TEXTS for token in [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]]
    assert sequences.flat_ids().tolist() == expected
    assert sequences.mask[:-1].all()


def test_first_tokens_and_separators_are_read_but_do_not_count(tokenizer):
    sequences = tokenise(TEXTS, tokenizer, n_sequences=99, seq_len=7, packing=True)
    left = without_bos(sequences, tokenizer)
    assert (left.ids == sequences.ids).all()
    assert (left.mask == sequences.mask).all()
    assert not left.counted[:, 0].any()
    assert tokenizer.eos_token_id not in left.flat_ids()  # this tokenizer has no other token to begin with
    others = sequences.mask & (sequences.ids != tokenizer.eos_token_id)
    others[:, 0] = False
    assert (left.counted == others).all()
    assert left.n_tokens == others.sum() < sequences.n_tokens
    assert left.fingerprint() != sequences.fingerprint()
    assert token_units(left, tokenizer).lengths.tolist() == others.sum(axis=1).tolist()


def test_an_end_of_text_token_inside_the_text_is_no_padding(tokenizer):
    assert tokenizer.eos_token_id == tokenizer.pad_token_id
    sequences = tokenise(TEXTS, tokenizer, n_sequences=99, seq_len=7, packing=True)
    assert (sequences.flat_ids() == tokenizer.eos_token_id).sum() == len(TEXTS)


def test_no_more_text_is_read_than_needed(tokenizer):
    def texts():
        yield from TEXTS
        raise AssertionError("read on")

    assert tokenise(texts(), tokenizer, n_sequences=2, seq_len=5, packing=False).n_sequences == 2


def test_the_fingerprint_follows_tokens_and_mask(tokenizer):
    first = tokenise(TEXTS, tokenizer, 3, 6, packing=False)
    again = tokenise(TEXTS, tokenizer, 3, 6, packing=False)
    other = tokenise(TEXTS, tokenizer, 2, 6, packing=False)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    repadded = replace(first, ids=np.where(first.mask, first.ids, 77))
    assert repadded.fingerprint() == first.fingerprint()


def test_token_strings_keep_fragments_of_characters_apart(tokenizer):
    ids = tokenizer("日本")["input_ids"]
    strings = token_strings(tokenizer, ids)
    assert len(set(strings.values())) == len(set(ids))
    assert token_strings(tokenizer, tokenizer(" day")["input_ids"]).popitem()[1] == " day"


def test_padding_counts_where_asked(tokenizer):
    counted = tokenise(TEXTS, tokenizer, 3, 20, packing=False, count_padding=True)
    plain = tokenise(TEXTS, tokenizer, 3, 20, packing=False)
    assert counted.n_tokens == 60 > plain.n_tokens
    assert np.array_equal(counted.ids, plain.ids)
    assert set(counted.ids[~plain.mask].tolist()) == {tokenizer.pad_token_id}


def test_a_token_that_begins_each_text_is_a_token_like_others(tokenizer):
    with_bos = copy.deepcopy(tokenizer)
    template = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    with_bos.backend_tokenizer.post_processor = template
    first, plain = (tokenise(TEXTS, each, 3, 9, packing=False) for each in (with_bos, tokenizer))
    assert first.mask[:, 0].all()
    assert (first.ids[:, 0] == 0).all()
    assert np.array_equal(first.ids[:, 1:][first.mask[:, 1:]], plain.ids[:, :8][plain.mask[:, :8]])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizers_own_padding_is_not_used(tokenizer, side):
    other = copy.deepcopy(tokenizer)
    other.padding_side, other.pad_token = side, "!"
    assert tokenise(TEXTS, other, 3, 20, False).fingerprint() == tokenise(TEXTS, tokenizer, 3, 20, False).fingerprint()


def test_the_context_of_a_token_ends_where_its_sequence_does():
    units = TextUnits(np.array([0, 1, 2, 0, 2]), {0: " a", 1: " red", 2: " fox"}, np.array([3, 2]))
    assert [units.context(position, n=1) for position in range(5)] == [
        "« a» red",
        " a« red» fox",
        " red« fox»",
        "« a» fox",
        " a« fox»",
    ]
