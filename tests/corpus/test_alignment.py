import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from analogue.corpus import tokenise
from analogue.corpus.alignment import NO_SPAN, align_spans, common_spans, token_ends
from analogue.models import open_model

TEXTS = [
    "Once upon a time, there was a little dog.",
    "He said: café, 日本 🙂!",
    "A  b\n\nc",
    "The elephant-keeper sneezed.",
]


@pytest.fixture(scope="module")
def ours():
    return open_model("embedded:stories-6").tokenizer


@pytest.fixture(scope="module")
def other():
    """A smaller BPE over other text, which writes spaces as U+2581 and begins each text with a token."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    tokenizer.decoder = decoders.Replace("\u2581", " ")
    special = ["<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        ["little dogs sneezed upon time"] * 3, trainers.BpeTrainer(vocab_size=290, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>")


@pytest.mark.parametrize(
    ("ends_a", "ends_b", "span_a", "span_b", "ends"),
    [
        ([1, 3, 6], [1, 3, 6], [0, 1, 2], [0, 1, 2], [1, 3, 6]),
        ([1, 3, 6], [3, 4, 6], [0, 0, 1], [0, 1, 1], [3, 6]),
        ([2, 4], [1, 3, 4], [0, 0], [0, 0, 0], [4]),
        ([1, 1, 1, 2], [1, 2], [0, 0, 0, 1], [0, 1], [1, 2]),  # three bytes of one character
        ([1, 1, 2], [1, 1, 2], [0, 1, 2], [0, 1, 2], [1, 1, 2]),  # the same on both sides
        ([0, 2, 4], [2, 4], [NO_SPAN, 0, 1], [0, 1], [2, 4]),  # a special token that the other side has not
        ([0, 2, 4], [0, 4], [0, 1, 1], [0, 1], [0, 4]),  # one that both have
        ([2, 4, 7], [2, 5], [0, NO_SPAN, NO_SPAN], [0, NO_SPAN], [2]),  # truncated
        ([3], [2, 4], [NO_SPAN], [NO_SPAN, NO_SPAN], []),
        ([], [2], [], [NO_SPAN], []),
    ],
)
def test_spans_end_where_both_have_a_boundary(ends_a, ends_b, span_a, span_b, ends):
    found = common_spans(np.array(ends_a, dtype=np.int64), np.array(ends_b, dtype=np.int64))
    assert [each.tolist() for each in found] == [span_a, span_b, ends]
    assert [each.tolist() for each in common_spans(np.array(ends_b), np.array(ends_a))] == [span_b, span_a, ends]


def test_with_equal_tokenizers_every_token_is_a_span(ours):
    alignment = align_spans(TEXTS, ours, ours, seq_len=8)
    n_tokens = tokenise(TEXTS, ours, len(TEXTS), 8, packing=False).n_tokens
    assert alignment.span_a.tolist() == alignment.span_b.tolist() == list(range(n_tokens))
    assert alignment.n_spans == n_tokens


def test_spans_are_the_finest_common_cut_of_the_text(ours, other):
    alignment = align_spans(TEXTS, ours, other, seq_len=1000)
    assert "".join(alignment.texts) == "".join(TEXTS)
    for span in (alignment.span_a, alignment.span_b):
        assert set(span[span != NO_SPAN]) == set(range(alignment.n_spans))
        assert (np.diff(span[span != NO_SPAN]) >= 0).all()
    expected = sum(len({*token_ends(text, ours, 999)} & {*token_ends(text, other, 999)}) for text in TEXTS)
    assert alignment.n_spans == expected
    assert (alignment.span_b == NO_SPAN).sum() == len(TEXTS)  # the tokens that begin a text
    assert "日" in alignment.texts


def test_each_side_is_truncated_at_its_own_length(ours, other):
    alignment = align_spans(TEXTS, ours, other, seq_len=6)
    for tokenizer, span in ((ours, alignment.span_a), (other, alignment.span_b)):
        assert len(span) == tokenise(TEXTS, tokenizer, len(TEXTS), 6, packing=False).n_tokens
    whole = align_spans(TEXTS[:1], ours, other, seq_len=1000)
    assert (
        align_spans(TEXTS[:1], ours, other, seq_len=6).texts
        == whole.texts[: align_spans(TEXTS[:1], ours, other, 6).n_spans]
    )


def test_no_text_has_no_span(ours, other):
    assert align_spans([], ours, other, 5).n_spans == 0
