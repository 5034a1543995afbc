import copy
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import AddedToken, processors

from analogue.corpus import TextUnits, special_ids, token_strings, token_units, tokenise, without_bos, without_special
from analogue.models import open_model
from tests.corpus.other_tokenizers import byte_level, metaspace, word_piece

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


@pytest.mark.parametrize("make", [metaspace, byte_level, word_piece])
def test_token_strings_side_by_side_are_the_text(make):
    made = make()
    text = "little dogs sneezed upon a dog" if make is not word_piece else "little dog"
    ids = made(text, add_special_tokens=False)["input_ids"]
    strings = token_strings(made, ids)
    assert "".join(strings[token] for token in ids).strip() == text
    assert len(set(strings.values())) == len(strings)


def test_a_leading_space_makes_another_token():
    made = metaspace()
    entries = made.get_vocab()
    both = [entry for entry in entries if f"\u2581{entry}" in entries]
    assert both
    for entry in both:
        strings = token_strings(made, [entries[entry], entries[f"\u2581{entry}"]])
        assert [*strings.values()] == [entry, f" {entry}"]


def test_a_byte_with_the_text_of_a_letter_keeps_its_entry():
    made = metaspace()
    letter, byte = made.convert_tokens_to_ids(["e", "<0x65>"])
    assert token_strings(made, [letter, byte]) == {letter: "e", byte: "<0x65>"}
    assert token_strings(made, [byte]) == {byte: "e"}


def test_bytes_of_a_character_read_as_bytes():
    made = byte_level()
    ids = made(" \u251c\u2500 \u201ca")["input_ids"]
    strings = token_strings(made, ids)
    assert [strings[token] for token in ids[-4:]] == ["<0xE2>", "<0x80>", "<0x9C>", "a"]
    assert not set("".join(strings.values())) & set("\u0120\u00e2\ufffd")


def test_the_context_of_a_part_of_a_character_shows_all_of_it():
    made = byte_level()
    text = "little \u201cdogs\u201d \u65e5\u672c sneezed"
    sequences = tokenise([text], made, 1, 60, packing=False)
    units = token_units(sequences, made)
    contexts = [units.context(position, n=60) for position in range(len(units.ids))]
    assert {context.replace("\u00ab", "").replace("\u00bb", "") for context in contexts} == {text}
    shown = [context.partition("\u00ab")[2].partition("\u00bb")[0] for context in contexts]
    assert {"\u201c", "\u201d", "\u65e5", "\u672c"} <= set(shown)
    assert all(shown)


def test_contexts_keep_the_spaces_of_sentencepiece():
    made = metaspace(bos=False)
    units = token_units(tokenise(["little dogs sneezed"], made, 1, 60, packing=False), made)
    shown = [units.context(position, n=60) for position in range(len(units.ids))]
    assert {each.replace("\u00ab", "").replace("\u00bb", "").strip() for each in shown} == {"little dogs sneezed"}


def test_special_tokens_do_not_count_wherever_they_stand(tokenizer):
    chat = copy.deepcopy(tokenizer)
    chat.add_tokens([AddedToken("<|end|>", special=True), AddedToken("<|word|>", special=False)])
    texts = ["A dog<|end|>ran.<|end|>It <|word|> sat.", *TEXTS]
    sequences = tokenise(texts, chat, 99, 7, packing=True)
    left = without_special(sequences, chat)
    special = {*chat.convert_tokens_to_ids(["<|endoftext|>", "<|end|>"])}
    assert special <= set(sequences.flat_ids().tolist())
    assert not special & set(left.flat_ids().tolist())
    assert chat.convert_tokens_to_ids("<|word|>") in left.flat_ids()
    assert left.n_tokens == sequences.n_tokens - np.isin(sequences.flat_ids(), [*special]).sum()
    assert left.fingerprint() != sequences.fingerprint()


def test_bytes_are_text_even_where_a_vocabulary_marks_them_as_special():
    made = metaspace()
    assert made.added_tokens_decoder[made.convert_tokens_to_ids("<0x65>")].special
    assert special_ids(made) == {*made.convert_tokens_to_ids(["<bos>", "<eos>", "<unk>"])} - {made.unk_token_id}


def test_an_unknown_word_is_text_and_counts():
    made = word_piece()
    made.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    left = without_special(tokenise(["little zebra \u65e5", "dog"], made, 2, 12, packing=False), made)
    assert made.unk_token_id in left.flat_ids()
    assert not {made.cls_token_id, made.sep_token_id, made.pad_token_id} & set(left.flat_ids().tolist())


def test_padding_counts_where_asked(tokenizer):
    counted = tokenise(TEXTS, tokenizer, 3, 20, packing=False, count_padding=True)
    plain = tokenise(TEXTS, tokenizer, 3, 20, packing=False)
    assert counted.n_tokens == 60 > plain.n_tokens
    assert np.array_equal(counted.ids, plain.ids)
    assert np.array_equal(counted.mask, plain.mask)  # models attend to none of it
    assert set(counted.ids[~plain.mask].tolist()) == {tokenizer.pad_token_id}
    assert counted.fingerprint() != plain.fingerprint()


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
