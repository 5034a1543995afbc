"""Text to token batches."""

from analogue.corpus.alignment import SpanAlignment, align_spans
from analogue.corpus.datamodule import SequenceDataset, TokenBatch, TokenDataModule
from analogue.corpus.text import read_texts
from analogue.corpus.tokens import TokenSequences, token_strings, tokenise

__all__ = [
    "SequenceDataset",
    "SpanAlignment",
    "TokenBatch",
    "TokenDataModule",
    "TokenSequences",
    "align_spans",
    "read_texts",
    "token_strings",
    "tokenise",
]
