"""Token sequences, their padding mask, and tokens as units of text."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenSequences:
    """Token ids, padded on the right; which positions hold a token, and which of those count.

    Attributes:
        ids: (n_sequences, seq_len) token ids; padding positions hold the tokenizer's padding id, end-of-text or 0.
        mask: (n_sequences, seq_len) True where there is a token, False where there is padding. It does not follow
            from the ids: a tokenizer may pad with its end-of-text token.
        counted: (n_sequences, seq_len) True for the tokens that enter statistics; models read the others too.
    """

    ids: Int64[np.ndarray, "n_sequences seq_len"]
    mask: Bool[np.ndarray, "n_sequences seq_len"]
    counted: Bool[np.ndarray, "n_sequences seq_len"]

    @property
    def n_sequences(self) -> int:
        return len(self.ids)

    @property
    def seq_len(self) -> int:
        return self.ids.shape[1]

    @property
    def n_tokens(self) -> int:
        """Number of tokens that count."""
        return int(self.counted.sum())

    def flat_ids(self) -> Int64[np.ndarray, " n_tokens"]:
        """The tokens that count, in reading order."""
        return self.ids[self.counted]

    def fingerprint(self) -> str:
        """SHA-256 of ids, mask and what counts: equal for two jobs that have read the same tokens."""
        digest = hashlib.sha256(repr(self.ids.shape).encode())
        digest.update(np.where(self.mask, self.ids, -1).astype("<i8").tobytes())
        if (self.counted != self.mask).any():
            digest.update(np.packbits(self.counted).tobytes())
        return digest.hexdigest()


def tokenise(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    n_sequences: int,
    seq_len: int,
    packing: bool,
    count_padding: bool = False,
) -> TokenSequences:
    """Cut documents into at most `n_sequences` sequences of at most `seq_len` tokens.

    Args:
        texts: documents, read in order and only as far as needed.
        tokenizer: its special tokens are added as it does by default.
        n_sequences: upper bound; fewer come back where the text ends before.
        seq_len: longer documents are truncated (or, packed, cut); shorter ones padded.
        packing: False for one document per sequence, as the paper does; True to string documents together, with an
            end-of-text token before each, so that every sequence but the last is full.
        count_padding: True to let padding count as tokens, as the paper's published code does.
    """
    documents = (list(tokenizer(text)["input_ids"]) for text in texts)
    rows = _packed(documents, tokenizer.eos_token_id, seq_len) if packing else (ids[:seq_len] for ids in documents)
    wanted = list(islice((row for row in rows if row), n_sequences))
    sequences = padded(wanted, seq_len, tokenizer)
    everywhere = np.ones_like(sequences.mask)
    return replace(sequences, mask=everywhere, counted=everywhere) if count_padding else sequences


def without_bos(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TokenSequences:
    """Let neither beginning-of-text tokens nor the first token of a sequence count.

    In many models the activations of these tokens are hundreds of times as long as all others (attention sinks), and
    would dominate every correlation and every variance.
    """
    bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    counted = sequences.counted & (sequences.ids != (-1 if bos is None else bos))
    counted[:, 0] = False
    return replace(sequences, counted=counted)


def token_strings(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> dict[int, str]:
    """The text of each token; a fragment of a character keeps its vocabulary entry, so that no two are confused."""
    strings = {}
    for token in ids:
        text = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
        strings[token] = str(tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else text
    return strings


def _packed(documents: Iterator[list[int]], separator: int | None, seq_len: int) -> Iterator[list[int]]:
    stream: list[int] = []
    for document in documents:
        stream += document if separator is None else [separator, *document]
        while len(stream) >= seq_len:
            yield stream[:seq_len]
            stream = stream[seq_len:]
    yield stream


def padded(rows: list[list[int]], seq_len: int, tokenizer: PreTrainedTokenizerBase) -> TokenSequences:
    """Rows of at most `seq_len` token ids, padded on the right with what the tokenizer pads with."""
    mask = np.arange(seq_len) < np.array([len(row) for row in rows], dtype=np.int64)[:, None]
    ids = np.full(mask.shape, _padding_id(tokenizer), dtype=np.int64)
    ids[mask] = [token for row in rows for token in row]
    return TokenSequences(ids, mask, mask)


def _padding_id(tokenizer: PreTrainedTokenizerBase) -> int:
    # The paper's published code pads with end-of-text where a tokenizer has no padding token.
    return next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)


class TextUnits(NamedTuple):
    """The units of text on which features are compared, tokens or spans; each is a row of the activations.

    Attributes:
        ids: (n_units,) the id of each unit's string, in reading order.
        strings: the string of each id, leading space included.
        lengths: (n_sequences,) number of units in each sequence.
    """

    ids: Int64[np.ndarray, " n_units"]
    strings: Mapping[int, str]
    lengths: Int64[np.ndarray, " n_sequences"]

    def context(self, position: int, n: int = 8) -> str:
        """The unit at a row, in double angle quotes, between up to n units of its sequence on either side."""
        ends = np.cumsum(self.lengths)
        sequence = int(np.searchsorted(ends, position, side="right"))
        first, last = int(ends[sequence] - self.lengths[sequence]), int(ends[sequence])
        before = "".join(self.strings[i] for i in self.ids[max(first, position - n) : position].tolist())
        after = "".join(self.strings[i] for i in self.ids[position + 1 : min(last, position + 1 + n)].tolist())
        return f"{before}«{self.strings[int(self.ids[position])]}»{after}"


def token_units(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TextUnits:
    """The tokens that count, each a unit."""
    ids = sequences.flat_ids()
    return TextUnits(ids, token_strings(tokenizer, set(ids.tolist())), sequences.counted.sum(axis=1))
