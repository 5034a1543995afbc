"""Text to token batches."""

from analogue.corpus.aligned import AlignedSequences, counting, from_sequence, tokenise_aligned
from analogue.corpus.chat import chat_texts
from analogue.corpus.datamodule import TokenBatch, TokenDataModule
from analogue.corpus.overlap import share_found_in
from analogue.corpus.text import read_texts
from analogue.corpus.tokens import (
    TextUnits,
    TokenSequences,
    padded,
    special_ids,
    token_rows,
    token_strings,
    token_units,
    tokenise,
    without_bos,
    without_special,
)

__all__ = [
    "AlignedSequences",
    "TextUnits",
    "TokenBatch",
    "TokenDataModule",
    "TokenSequences",
    "chat_texts",
    "counting",
    "from_sequence",
    "padded",
    "read_texts",
    "share_found_in",
    "special_ids",
    "token_rows",
    "token_strings",
    "token_units",
    "tokenise",
    "tokenise_aligned",
    "without_bos",
    "without_special",
]
