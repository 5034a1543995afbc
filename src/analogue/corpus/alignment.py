"""One text under two tokenizers, cut at the characters where both tokenisations have a boundary."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from transformers import PreTrainedTokenizerBase

NO_SPAN = -1


class Piece(NamedTuple):
    """What stands between two neighbouring common boundaries of one text.

    Attributes:
        text: the characters, at least one.
        tokens_a: id of each token of A here, and whether it reads characters: special tokens do not. They stand in
            the piece before them, at the beginning of the text in the first.
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
    """Token ids, and the character after each token: not falling, but `NO_SPAN` for tokens without characters.

    Ends, not beginnings: many tokenizers leave a token's leading space out of its range, none its last character.
    Tokens that share a character, as fragments of it do, all end where the last of them ends: between them is no
    boundary of the text.
    """
    encoding = tokenizer(text, return_offsets_mapping=True)
    offsets = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    ends = np.full(len(offsets), NO_SPAN, dtype=np.int64)
    reads = offsets[:, 1] > 0
    if reads.any():
        ends[reads] = _ends_of_overlapping(*offsets[reads].T)
    return list(encoding["input_ids"]), ends


def _ends_of_overlapping(starts: Int64[np.ndarray, " n"], ends: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The end of the last of each run of tokens in which each shares a character with the next."""
    ends = np.maximum.accumulate(ends)
    last = np.flatnonzero(np.append(starts[1:] >= ends[:-1], True))
    return ends[last][np.searchsorted(last, np.arange(len(ends)))]


def _n_tokens_until(cuts: np.ndarray, ends: np.ndarray) -> list[int]:
    """How many tokens end at or before each cut; one without characters ends where the token before it does."""
    return np.searchsorted(np.maximum.accumulate(ends), cuts, side="right").tolist()
