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


def token_units(sequences: TokenSequences, tokenizer: PreTrainedTokenizerBase) -> TextUnits:
    """Every token is a unit; padding is none."""
    ids = sequences.flat_ids()
    return TextUnits(ids, token_strings(tokenizer, set(ids.tolist())), sequences.mask.sum(axis=1))
