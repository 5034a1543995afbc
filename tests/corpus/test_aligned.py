import numpy as np
import pytest
from transformers import AutoTokenizer

from analogue.corpus import counting, tokenise, tokenise_aligned, without_bos, without_special
from analogue.corpus.aligned import NO_SPAN, encode
from analogue.embedded import ASSETS
from tests.corpus.other_tokenizers import byte_level, metaspace
from tests.corpus.test_alignment import TEXTS


@pytest.fixture(scope="module")
def ours():
    return AutoTokenizer.from_pretrained(ASSETS / "tokenizer")


def texts_of_sequences(aligned):
    ends = np.cumsum(aligned.n_spans_of_sequence)
    return ["".join(aligned.texts[end - n : end]) for n, end in zip(aligned.n_spans_of_sequence, ends, strict=True)]


def longest_that_fits(text, tokenizers, seq_len):
    """The longest beginning, ending where both have a boundary, of at most `seq_len` tokens on both sides."""
    ends = [encode(text, tokenizer)[1] for tokenizer in tokenizers]
    cuts = [end for end in sorted({*ends[0]} & {*ends[1]}) if all((each <= end).sum() <= seq_len for each in ends)]
    return text[: max(cuts, default=0)] if cuts and cuts[-1] > 0 else ""


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("seq_len", [1, 3, 7, 1000])
def test_equal_tokenizers_read_what_one_reads(ours, packing, seq_len):
    """Without special tokens and split characters every token is a span."""
    texts = [text for text in TEXTS if text.isascii()]
    same = AutoTokenizer.from_pretrained(ASSETS / "tokenizer", eos_token=None, pad_token="!")
    plain = tokenise(texts, same, 100, seq_len, packing)
    aligned = tokenise_aligned(texts, same, same, 100, seq_len, packing)
    assert aligned.a.fingerprint() == aligned.b.fingerprint() == plain.fingerprint()
    assert aligned.span_a.tolist() == aligned.span_b.tolist() == list(range(plain.n_tokens))
    assert aligned.n_spans_of_sequence.tolist() == plain.mask.sum(axis=1).tolist()


@pytest.mark.parametrize("seq_len", [4, 9, 30])
def test_one_document_a_sequence_is_cut_where_the_longer_side_is_full(ours, seq_len):
    aligned = tokenise_aligned(TEXTS, ours, metaspace(), 100, seq_len, packing=False)
    read = texts_of_sequences(aligned)
    expected = [longest_that_fits(text, (ours, metaspace()), seq_len) for text in TEXTS]
    assert read == [text for text in expected if text]
    for sequences, spans in ((aligned.a, aligned.span_a), (aligned.b, aligned.span_b)):
        assert sequences.ids.shape == (len(read), seq_len)
        assert len(spans) == sequences.n_tokens
        inside = spans[spans != NO_SPAN]
        assert (np.diff(inside) >= 0).all()
        assert set(inside) == set(range(aligned.n_spans))
    assert (aligned.span_a != NO_SPAN).all()
    assert (aligned.span_b == NO_SPAN).sum() == len(read)  # the tokens that begin a text


def test_packed_sequences_hold_the_whole_text_and_a_separator_before_each_document(ours):
    other = byte_level()
    aligned = tokenise_aligned(TEXTS, ours, other, 100, 12, packing=True)
    assert "".join(texts_of_sequences(aligned)) == "".join(TEXTS)
    for sequences, spans in ((aligned.a, aligned.span_a), (aligned.b, aligned.span_b)):
        outside = sequences.flat_ids()[spans == NO_SPAN]
        assert outside.tolist() == [0] * len(TEXTS)
    assert max(aligned.a.mask.sum(axis=1).max(), aligned.b.mask.sum(axis=1).max()) == 12


@pytest.mark.parametrize("packing", [True, False])
def test_a_span_that_loses_a_token_on_either_side_goes(ours, packing):
    other = byte_level()
    aligned = tokenise_aligned(TEXTS, ours, other, 100, 12, packing)
    left = counting(aligned, without_bos(aligned.a, ours), without_bos(aligned.b, other))
    left = counting(left, without_special(left.a, ours), without_special(left.b, other))
    lost = set()
    for before, after, span in ((aligned.a, left.a, aligned.span_a), (aligned.b, left.b, aligned.span_b)):
        lost |= set(span[~after.counted[before.mask]].tolist()) - {NO_SPAN}
    assert left.texts == [text for i, text in enumerate(aligned.texts) if i not in lost] != aligned.texts
    assert left.n_spans_of_sequence.sum() == left.n_spans
    sequences_of_both = zip(texts_of_sequences(left), texts_of_sequences(aligned), strict=True)
    assert all(rest in whole for rest, whole in sequences_of_both)
    for sequences, spans, tokenizer in ((left.a, left.span_a, ours), (left.b, left.span_b, other)):
        assert len(spans) == sequences.n_tokens
        for i, text in enumerate(left.texts):
            assert tokenizer.decode(sequences.flat_ids()[spans == i]) == text


def test_a_span_longer_than_a_sequence_stands_between_two(ours):
    aligned = tokenise_aligned(["a 🙂 b"], ours, byte_level(), 100, 3, packing=True)
    assert texts_of_sequences(aligned) == ["a ", " b"]
    assert texts_of_sequences(tokenise_aligned(["a 🙂 b"], ours, byte_level(), 9, 3, packing=False)) == ["a "]


def test_units_are_the_spans_and_equal_strings_have_one_id(ours):
    units = tokenise_aligned(TEXTS, ours, byte_level(), 100, 30, packing=False).units()
    assert "".join(units.strings[i] for i in units.ids) == "".join(TEXTS)
    assert len(set(units.strings.values())) == len(units.strings)
    assert units.lengths.sum() == len(units.ids)


def test_only_as_many_documents_are_read_as_needed(ours):
    def endless():
        while True:
            yield "A little dog."

    assert tokenise_aligned(endless(), ours, byte_level(), 3, 9, packing=True).a.n_sequences == 3


@pytest.mark.parametrize("packing", [True, False])
def test_no_text_has_no_span(ours, packing):
    aligned = tokenise_aligned([], ours, byte_level(), 3, 9, packing)
    assert (aligned.n_spans, aligned.a.n_sequences, len(aligned.span_b)) == (0, 0, 0)
