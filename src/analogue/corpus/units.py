"""The pieces of text on which features are compared: tokens, or the spans of two tokenisations."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from transformers import PreTrainedTokenizerBase

from analogue.corpus.tokens import TokenSequences, token_strings


class TextUnits(NamedTuple):
    """A row of activations each.

    Attributes:
        ids: (n_units,) which string each unit is, in reading order.
        strings: the string of each id, leading space included.
        lengths: (n_sequences,) units in each sequence.
    """

    ids: Int64[np.ndarray, " n_units"]
    strings: Mapping[int, str]
    lengths: Int64[np.ndarray, " n_sequences"]

    def context(self, position: int, n: int = 8) -> str:
        """The unit at a row, in double angle quotes, among up to n units on either side, none of another sequence."""
        ends = np.cumsum(self.lengths)
        sequence = int(np.searchsorted(ends, position, side="right"))
        first, last = int(ends[sequence] - self.lengths[sequence]), int(ends[sequence])
        before = "".join(self.strings[i] for i in self.ids[max(first, position - n) : position].tolist())
        after = "".join(self.strings[i] for i in self.ids[position + 1 : min(last, position + 1 + n)].tolist())
        return f"{before}«{self.strings[int(self.ids[position])]}»{after}"


def token_units(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TextUnits:
    """Every token that counts is a unit."""
    ids = sequences.flat_ids()
    return TextUnits(ids, token_strings(tokenizer, set(ids.tolist())), sequences.counted.sum(axis=1))
