"""A corpus under two tokenizers: sequences of the same characters on both sides, and their common spans."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from transformers import PreTrainedTokenizerBase

from analogue.corpus.tokens import TextUnits, TokenSequences, padded

NO_SPAN = -1


@dataclass(frozen=True)
class AlignedSequences:
    """Sequences of text in the tokens of A and of B, and the spans of text that both respect.

    Sequence i of A and of B read the same characters. The spans are the finest pieces of the text at whose ends both
    tokenisations have a boundary, counted from 0 over all sequences.

    Attributes:
        a: the tokens of A.
        b: the tokens of B.
        span_a: (a.n_tokens,) the span that each token of A lies in, non-decreasing; `NO_SPAN` for special tokens,
            which read no characters.
        span_b: (b.n_tokens,) the same for B.
        texts: (n_spans,) the characters of each span.
        n_spans_of_sequence: (n_sequences,) spans in each sequence.
    """

    a: TokenSequences
    b: TokenSequences
    span_a: Int64[np.ndarray, " n_tokens_a"]
    span_b: Int64[np.ndarray, " n_tokens_b"]
    texts: list[str]
    n_spans_of_sequence: Int64[np.ndarray, " n_sequences"]

    @property
    def n_spans(self) -> int:
        """Spans of all sequences."""
        return len(self.texts)

    def units(self) -> TextUnits:
        """The spans as units of text; equal strings have one id."""
        id_of = {text: i for i, text in enumerate(dict.fromkeys(self.texts))}
        ids = np.array([id_of[text] for text in self.texts], dtype=np.int64)
        return TextUnits(ids, {i: text for text, i in id_of.items()}, self.n_spans_of_sequence)


def tokenise_aligned(
    texts: Iterable[str],
    tokenizer_a: PreTrainedTokenizerBase,
    tokenizer_b: PreTrainedTokenizerBase,
    n_sequences: int,
    seq_len: int,
    packing: bool,
) -> AlignedSequences:
    """Cut documents into at most `n_sequences` sequences, each at most `seq_len` tokens of A and of B.

    Sequences end at common boundaries: where the text is cut, it is cut for both. Both sides' special tokens are added
    as `tokenise` adds them; they count as tokens and lie in no span.

    Args:
        texts: documents, read in order and only as far as needed; one without a common boundary is left out.
        tokenizer_a: a fast tokenizer.
        tokenizer_b: a fast tokenizer.
        n_sequences: upper bound; fewer come back where the text ends before, perhaps none.
        seq_len: longer documents are truncated (or, packed, cut), at the last common boundary that fits both sides.
        packing: as in `tokenise`. A span longer than a sequence ends the current sequence and is left out.
    """
    documents = (common_pieces(text, tokenizer_a, tokenizer_b) for text in texts)
    if packing:
        separators = [_separator(tokenizer) for tokenizer in (tokenizer_a, tokenizer_b)]
        rows = _packed((_led_by(separators, document) for document in documents), seq_len)
    else:
        rows = (next(_packed([document], seq_len)) for document in documents)
    wanted = list(islice((row for row in rows if row), n_sequences))
    pieces = [piece for row in wanted for piece in row]
    return AlignedSequences(
        a=padded([[token for piece in row for token, _ in piece.tokens_a] for row in wanted], seq_len, tokenizer_a),
        b=padded([[token for piece in row for token, _ in piece.tokens_b] for row in wanted], seq_len, tokenizer_b),
        span_a=_spans([piece.tokens_a for piece in pieces]),
        span_b=_spans([piece.tokens_b for piece in pieces]),
        texts=[piece.text for piece in pieces],
        n_spans_of_sequence=np.array([len(row) for row in wanted], dtype=np.int64),
    )


def counting(aligned: AlignedSequences, a: TokenSequences, b: TokenSequences) -> AlignedSequences:
    """The sequences with fewer tokens that count; a span that loses a token on either side is dropped.

    Args:
        aligned: the sequences and their spans.
        a: the tokens of A, fewer of which count.
        b: the tokens of B, likewise.
    """
    stays_a, stays_b = a.counted[aligned.a.counted], b.counted[aligned.b.counted]
    kept = np.append(np.ones(aligned.n_spans, dtype=bool), False)  # the last entry is that of NO_SPAN
    kept[aligned.span_a[~stays_a]] = False
    kept[aligned.span_b[~stays_b]] = False
    number = np.where(kept, np.cumsum(kept) - 1, NO_SPAN)
    kept = kept[:-1]
    sequence = np.repeat(np.arange(a.n_sequences), aligned.n_spans_of_sequence)
    return AlignedSequences(
        a=a,
        b=b,
        span_a=number[aligned.span_a[stays_a]],
        span_b=number[aligned.span_b[stays_b]],
        texts=[text for text, stays in zip(aligned.texts, kept, strict=True) if stays],
        n_spans_of_sequence=np.bincount(sequence[kept], minlength=a.n_sequences),
    )


def from_sequence(aligned: AlignedSequences, first: int) -> AlignedSequences:
    """The sequences from the first one given on, without those before it."""
    n_before = int(aligned.n_spans_of_sequence[:first].sum())
    sides: dict[str, Any] = {}
    for name, sequences, span in (("a", aligned.a, aligned.span_a), ("b", aligned.b, aligned.span_b)):
        later = span[int(sequences.counted[:first].sum()) :]
        sides |= {name: sequences[first:], f"span_{name}": np.where(later < 0, NO_SPAN, later - n_before)}
    return AlignedSequences(
        **sides, texts=aligned.texts[n_before:], n_spans_of_sequence=aligned.n_spans_of_sequence[first:]
    )


class Piece(NamedTuple):
    """The text between two neighbouring common boundaries, and its tokens on both sides.

    Attributes:
        text: the characters, at least one.
        tokens_a: the id of each token of A here, and whether it reads characters. Special tokens do not; they belong
            to the piece before them, those at the beginning of the text to the first.
        tokens_b: the same for B.
    """

    text: str
    tokens_a: list[tuple[int, bool]]
    tokens_b: list[tuple[int, bool]]


def common_pieces(
    text: str, tokenizer_a: PreTrainedTokenizerBase, tokenizer_b: PreTrainedTokenizerBase
) -> Iterator[Piece]:
    """The finest pieces of a text at whose ends both tokenisations have a boundary, in order.

    A token that ends past the last common boundary is in none.

    Args:
        text: a document.
        tokenizer_a: a fast tokenizer, which knows where in the text its tokens stand.
        tokenizer_b: another one.
    """
    (ids_a, ends_a), (ids_b, ends_b) = encode(text, tokenizer_a), encode(text, tokenizer_b)
    tokens_a, tokens_b = (
        list(zip(ids, (ends != NO_SPAN).tolist(), strict=True)) for ids, ends in ((ids_a, ends_a), (ids_b, ends_b))
    )
    cuts = np.intersect1d(ends_a[ends_a > 0], ends_b[ends_b > 0])
    characters = pairwise([0, *cuts.tolist()])
    pieces_a, pieces_b = (pairwise([0, *_n_tokens_until(cuts, ends)]) for ends in (ends_a, ends_b))
    for (start, end), of_a, of_b in zip(characters, pieces_a, pieces_b, strict=True):
        yield Piece(text[start:end], tokens_a[slice(*of_a)], tokens_b[slice(*of_b)])


def encode(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], Int64[np.ndarray, " n_tokens"]]:
    """Token ids, and the position of the character after each token, non-decreasing; `NO_SPAN` for special tokens.

    Ends are used, not beginnings: many tokenizers leave a token's leading space out of its range, none its last
    character. Tokens that share a character, as its fragments do, all end where the last of them ends, since no
    boundary of the text lies between them.
    """
    encoding = tokenizer(text, return_offsets_mapping=True)
    offsets = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    ends = np.full(len(offsets), NO_SPAN, dtype=np.int64)
    reads = offsets[:, 1] > 0
    if reads.any():
        ends[reads] = _ends_of_overlapping(*offsets[reads].T)
    return list(encoding["input_ids"]), ends


def _packed(documents: Iterable[Iterable[Piece]], seq_len: int) -> Iterator[list[Piece]]:
    """Fill sequences as far as both sides' tokens fit; a piece that fits in no sequence ends one and is left out."""
    row: list[Piece] = []
    n_a = n_b = 0
    for piece in (piece for document in documents for piece in document):
        more_a, more_b = len(piece.tokens_a), len(piece.tokens_b)
        if n_a + more_a > seq_len or n_b + more_b > seq_len:
            yield row
            row, n_a, n_b = [], 0, 0
        if max(more_a, more_b) <= seq_len:
            row.append(piece)
            n_a, n_b = n_a + more_a, n_b + more_b
    yield row


def _led_by(separators: list[list[tuple[int, bool]]], pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces of a document, the first one with both sides' separators before it."""
    of_a, of_b = separators
    for text, tokens_a, tokens_b in islice(pieces, 1):
        yield Piece(text, of_a + tokens_a, of_b + tokens_b)
    yield from pieces


def _separator(tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, bool]]:
    return [] if tokenizer.eos_token_id is None else [(int(tokenizer.eos_token_id), False)]


def _spans(tokens: list[list[tuple[int, bool]]]) -> Int64[np.ndarray, " n_tokens"]:
    spans = [i if reads else NO_SPAN for i, of_piece in enumerate(tokens) for _, reads in of_piece]
    return np.array(spans, dtype=np.int64)


def _ends_of_overlapping(starts: Int64[np.ndarray, " n"], ends: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The end of the last of each run of tokens in which each shares a character with the next."""
    ends = np.maximum.accumulate(ends)
    last = np.flatnonzero(np.append(starts[1:] >= ends[:-1], True))
    return ends[last][np.searchsorted(last, np.arange(len(ends)))]


def _n_tokens_until(cuts: np.ndarray, ends: np.ndarray) -> list[int]:
    """How many tokens end at or before each cut; one without characters ends where the token before it does."""
    return np.searchsorted(np.maximum.accumulate(ends), cuts, side="right").tolist()
