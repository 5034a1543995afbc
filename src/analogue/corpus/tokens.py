"""Token sequences, their padding mask, and tokens as units of text."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}
"""By the characters that stand for bytes in byte-level vocabularies."""
UNKNOWN = "\U00013000\ua500"  # hieroglyphs and Vai, in hardly any vocabulary
BYTE = re.compile("<0x[0-9A-F]{2}>")  # an entry of SentencePiece for text that no other entry covers
REPLACEMENT = "\ufffd"  # what decoders write for bytes that are no complete character


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
        """Rows of `ids`."""
        return len(self.ids)

    @property
    def seq_len(self) -> int:
        """Tokens per sequence, padding included."""
        return self.ids.shape[1]

    @property
    def n_tokens(self) -> int:
        """Number of tokens that count."""
        return int(self.counted.sum())

    def flat_ids(self) -> Int64[np.ndarray, " n_tokens"]:
        """The tokens that count, in reading order."""
        return self.ids[self.counted]

    def __getitem__(self, rows: slice) -> "TokenSequences":
        """Some of the sequences."""
        return TokenSequences(self.ids[rows], self.mask[rows], self.counted[rows])

    @staticmethod
    def joined(parts: "Sequence[TokenSequences]") -> "TokenSequences":
        """All sequences of several parts, of one length, in their order."""
        fields = zip(*((part.ids, part.mask, part.counted) for part in parts), strict=True)
        return TokenSequences(*map(np.concatenate, fields))

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
    add_special_tokens: bool = True,
) -> TokenSequences:
    """Cut documents into at most `n_sequences` sequences of at most `seq_len` tokens.

    Args:
        texts: documents, read in order and only as far as needed.
        tokenizer: its special tokens are added as it does by default.
        n_sequences: upper bound; fewer come back where the text ends before.
        seq_len: longer documents are truncated (or, packed, cut); shorter ones padded.
        packing: False for one document per sequence, as the paper does; True to string documents together, with an
            end-of-text token before each, so that every sequence but the last is full.
        count_padding: True to let padding count in statistics, as in the paper's published code; models attend to none.
        add_special_tokens: False for texts that hold them already, as a chat's template writes them.
    """
    rows = token_rows(texts, tokenizer, seq_len, packing, add_special_tokens)
    sequences = padded(list(islice(rows, n_sequences)), seq_len, tokenizer)
    return replace(sequences, counted=np.ones_like(sequences.mask)) if count_padding else sequences


def token_rows(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    seq_len: int,
    packing: bool,
    add_special_tokens: bool = True,
) -> Iterator[list[int]]:
    """Token ids of each sequence in turn, none of them empty; see `tokenise`."""
    documents = (list(tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]) for text in texts)
    rows = _packed(documents, tokenizer.eos_token_id, seq_len) if packing else (ids[:seq_len] for ids in documents)
    return (row for row in rows if row)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that are not text: those that begin, end and pad it, and mark the turns of a chat.

    The token that stands for words outside the vocabulary is text. (Tokenizers that know every byte often name one.)
    """
    added = tokenizer.added_tokens_decoder.items()
    marked = {token for token, entry in added if entry.special and not BYTE.fullmatch(entry.content)}
    of_text = {*tokenizer(UNKNOWN, add_special_tokens=False)["input_ids"]}
    return ({*tokenizer.all_special_ids} | marked) - of_text


def without_special(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TokenSequences:
    """Leave out special tokens, wherever they stand."""
    special = np.isin(sequences.ids, sorted(special_ids(tokenizer)))
    return replace(sequences, counted=sequences.counted & ~special)


def without_bos(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TokenSequences:
    """Leave out beginning-of-text tokens and the first token of each sequence.

    In many models the activations of these tokens are hundreds of times as long as all others (attention sinks), and
    would dominate every correlation and every variance.
    """
    bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    counted = sequences.counted & (sequences.ids != (-1 if bos is None else bos))
    counted[:, 0] = False
    return replace(sequences, counted=counted)


def token_strings(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> dict[int, str]:
    """The text of each token as it stands within other text, no two of them alike.

    A leading space is part of it, with tokenizers that write it as U+2581 too. Bytes of a character that is cut into
    several tokens read `<0xE2>`. Where two tokens have one text, as the letter A and the byte 0x41 have in Llama 2,
    both keep their vocabulary entries.
    """
    tokens = list(dict.fromkeys(ids))
    strings = {token: _text_within_text(tokenizer, token) for token in tokens}
    n_alike = Counter(strings.values())
    return {token: text if n_alike[text] == 1 else _entry(tokenizer, token) for token, text in strings.items()}


def decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text that tokens were made from, as far as the tokenizer keeps it."""
    return str(tokenizer.decode([*ids], clean_up_tokenization_spaces=False))


def _text_within_text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """What the token adds to a text: decoders of SentencePiece drop a text's first space."""
    once, twice = (decoded(tokenizer, [token] * n) for n in (1, 2))
    text = twice[len(once) :] if twice.startswith(once) else once
    return _bytes_shown(_entry(tokenizer, token)) if REPLACEMENT in text else text


def _entry(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token))


def _bytes_shown(entry: str) -> str:
    """An entry of a byte-level vocabulary as text, its incomplete characters as bytes; others as they are."""
    try:
        characters = bytes(BYTE_OF[character] for character in entry).decode(errors="surrogateescape")
    except KeyError:
        return entry
    return "".join(f"<0x{ord(each) - 0xDC00:02X}>" if "\udc80" <= each <= "\udcff" else each for each in characters)


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
        decode: the text of several units; None where their strings, one after the other, are their text.
    """

    ids: Int64[np.ndarray, " n_units"]
    strings: Mapping[int, str]
    lengths: Int64[np.ndarray, " n_sequences"]
    decode: Callable[[Sequence[int]], str] | None = None

    def context(self, position: int, n: int = 8) -> str:
        """The unit at a row, in double angle quotes, between up to n units of its sequence on either side.

        A unit that is a part of a character stands there with the rest of it.
        """
        ends = np.cumsum(self.lengths)
        sequence = int(np.searchsorted(ends, position, side="right"))
        first, last = int(ends[sequence] - self.lengths[sequence]), int(ends[sequence])
        units = self.ids[max(first, position - n) : min(last, position + 1 + n)].tolist()
        at = min(n, position - first)
        text = self._text(units)
        begin, end = self._end_of(units, at, text, -1), self._end_of(units, at + 1, text, 1)
        return f"{text[:begin]}«{text[begin:end]}»{text[end:]}"

    def _text(self, units: Sequence[int]) -> str:
        return self.decode(units) if self.decode else "".join(self.strings[unit] for unit in units)

    def _end_of(self, units: Sequence[int], n_units: int, text: str, step: int) -> int:
        """Where the first units end in their text; one unit fewer, or more, where that is within a character."""
        while not text.startswith(start := self._text(units[:n_units])):
            n_units += step
        return len(start)


def token_units(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TextUnits:
    """The tokens that count, each a unit."""
    ids = sequences.flat_ids()
    strings = token_strings(tokenizer, set(ids.tolist()))
    return TextUnits(ids, strings, sequences.counted.sum(axis=1), partial(decoded, tokenizer))
