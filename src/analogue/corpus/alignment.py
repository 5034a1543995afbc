"""Two tokenisations of one text, aligned at the character spans that both respect."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from transformers import PreTrainedTokenizerBase

NO_SPAN = -1


class SpanAlignment(NamedTuple):
    """The spans of a corpus: the finest pieces of its texts at whose ends both tokenisations have a boundary.

    Attributes:
        span_a: (n_tokens_a,) the span that each token of A lies in, counted from 0 over all texts; `NO_SPAN` for a
            token past the last common boundary, or before the text where the other side has none there.
        span_b: (n_tokens_b,) the same for B.
        texts: (n_spans,) what stands in each span.
    """

    span_a: Int64[np.ndarray, " n_tokens_a"]
    span_b: Int64[np.ndarray, " n_tokens_b"]
    texts: list[str]

    @property
    def n_spans(self) -> int:
        return len(self.texts)


def align_spans(
    texts: Iterable[str], tokenizer_a: PreTrainedTokenizerBase, tokenizer_b: PreTrainedTokenizerBase, seq_len: int
) -> SpanAlignment:
    """Align the first `seq_len` tokens of each text under both tokenizers, one text a sequence.

    The tokens are those of `tokenise(..., packing=False)`, without padding. With equal tokenizers each token is a span.

    Args:
        texts: documents; one without a token is no sequence, as in `tokenise`.
        tokenizer_a: a fast tokenizer, which knows where in the text its tokens stand.
        tokenizer_b: another one.
        seq_len: longer documents are truncated, on each side at its own length.
    """
    spans_a: list[np.ndarray] = []
    spans_b: list[np.ndarray] = []
    pieces: list[str] = []
    for text in texts:
        ends_a, ends_b = token_ends(text, tokenizer_a, seq_len), token_ends(text, tokenizer_b, seq_len)
        span_a, span_b, ends = common_spans(ends_a, ends_b)
        for spans, span in ((spans_a, span_a), (spans_b, span_b)):
            spans.append(np.where(span == NO_SPAN, NO_SPAN, span + len(pieces)))
        pieces += [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if len(ends) else []
    empty = np.array([], dtype=np.int64)
    return SpanAlignment(np.concatenate([empty, *spans_a]), np.concatenate([empty, *spans_b]), pieces)


def token_ends(text: str, tokenizer: PreTrainedTokenizerBase, seq_len: int) -> Int64[np.ndarray, " n_tokens"]:
    """The character after each token, not falling; 0 for special tokens before the text.

    Ends, not beginnings: many tokenizers leave a token's leading space out of its range, none its last character.
    """
    encoding = tokenizer(text, return_offsets_mapping=True)
    ends = np.array([end for _, end in encoding["offset_mapping"][:seq_len]], dtype=np.int64)
    return np.maximum.accumulate(ends) if len(ends) else ends


def common_spans(
    ends_a: Int64[np.ndarray, " n_a"], ends_b: Int64[np.ndarray, " n_b"]
) -> tuple[Int64[np.ndarray, " n_a"], Int64[np.ndarray, " n_b"], Int64[np.ndarray, " n_spans"]]:
    """Cut one text at every character where both tokenisations have a boundary.

    Tokens that share an end, as the bytes of one character do, are in one span; where both sides have the very same
    ends, each is a span of its own.

    Args:
        ends_a: the character after each token of A, not falling.
        ends_b: the same for B.

    Returns:
        The span of each token of A, of B (`NO_SPAN` for none), and the character after each span.
    """
    if np.array_equal(ends_a, ends_b):
        every = np.arange(len(ends_a))
        return every, every, ends_a
    ends = np.intersect1d(ends_a, ends_b)
    return _span_of(ends_a, ends), _span_of(ends_b, ends), ends


def _span_of(token_ends: np.ndarray, span_ends: np.ndarray) -> np.ndarray:
    spans = np.searchsorted(span_ends, token_ends).astype(np.int64)
    return np.where(_outside(token_ends, span_ends), NO_SPAN, spans)


def _outside(token_ends: np.ndarray, span_ends: np.ndarray) -> Bool[np.ndarray, " n_tokens"]:
    """Past the last span, or a special token before the text that the other side has not."""
    past = token_ends > span_ends.max(initial=-1)
    return past | ((token_ends == 0) & (0 not in span_ends))
