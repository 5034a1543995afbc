"""Text to token batches."""

from analogue.corpus.datamodule import SequenceDataset, TokenBatch, TokenDataModule
from analogue.corpus.text import read_texts
from analogue.corpus.tokens import TokenSequences, token_strings, tokenise

__all__ = [
    "SequenceDataset",
    "TokenBatch",
    "TokenDataModule",
    "TokenSequences",
    "read_texts",
    "token_strings",
    "tokenise",
]
