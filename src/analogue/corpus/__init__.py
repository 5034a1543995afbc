"""Text to token batches."""

from analogue.corpus.aligned import AlignedSequences, spans_without_bos, tokenise_aligned
from analogue.corpus.datamodule import TokenBatch, TokenDataModule
from analogue.corpus.text import read_texts
from analogue.corpus.tokens import TextUnits, TokenSequences, token_strings, token_units, tokenise, without_bos

__all__ = [
    "AlignedSequences",
    "TextUnits",
    "TokenBatch",
    "TokenDataModule",
    "TokenSequences",
    "read_texts",
    "spans_without_bos",
    "token_strings",
    "token_units",
    "tokenise",
    "tokenise_aligned",
    "without_bos",
]
