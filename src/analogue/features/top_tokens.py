"""The tokens on which each feature activates most, by which features are interpreted."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64

from analogue.compiled import compiled
from analogue.errors import check_minima
from analogue.features.activations import FeatureActivations

FRAGMENT = re.compile("<0x[0-9A-Fa-f]{2}>")
"""A byte of a character that is cut into several tokens, as SentencePiece writes it, and `analogue.corpus` too."""


@dataclass(frozen=True, eq=False)
class TopTokens:
    """The k top tokens of every feature of one SAE.

    Attributes:
        positions: (d_sae, k) rows of the token stream, highest activation first, -1 where the feature fires on fewer
            than k tokens.
        strings: for every feature the strings of those tokens, only as many as exist; repeats are kept.
    """

    positions: Int64[np.ndarray, "d_sae k"]
    strings: list[tuple[str, ...]]

    def __post_init__(self) -> None:
        if len(self.positions) != len(self.strings):
            raise ValueError(f"expected strings of {len(self.positions)} features, got {len(self.strings)}")

    def __len__(self) -> int:
        """Number of features, d_sae."""
        return len(self.strings)


def top_positions(acts: FeatureActivations, k: int = 5) -> Int64[np.ndarray, "d_sae k"]:
    """Token positions of the k highest activations of every feature.

    Args:
        acts: activations (n_tokens, d_sae).
        k: how many tokens per feature, at least 1.

    Returns:
        (d_sae, k) rows of `acts`, highest activation first, ties to the lowest position, -1 where a feature fires on
        fewer than k tokens.

    Raises:
        ValueError: if k is below 1.
    """
    check_minima({"k": (k, 1)})
    columns = acts.to_scipy().tocsc()
    indptr = columns.indptr.astype(np.int64, copy=False)
    return _compiled_highest_entries()(indptr, columns.indices.astype(np.int32, copy=False), columns.data, k)


def top_tokens(
    acts: FeatureActivations,
    token_ids: Int[np.ndarray, " n_tokens"],
    vocabulary: Sequence[str] | Mapping[int, str],
    k: int = 5,
) -> TopTokens:
    """The strings of the k tokens on which each feature activates most (paper, section 3: top-5 tokens).

    Args:
        acts: activations (n_tokens, d_sae).
        token_ids: (n_tokens,) the id of the token at each row of `acts`.
        vocabulary: the string of each token id.
        k: how many tokens per feature.

    Returns:
        Positions and strings per feature.

    Raises:
        ValueError: if the token ids are not one per row of `acts`, or one has no string in the vocabulary.
    """
    token_ids = np.asarray(token_ids)
    if token_ids.shape != (acts.n_tokens,):
        raise ValueError(f"expected token_ids of shape ({acts.n_tokens},), got {token_ids.shape}")
    positions = top_positions(acts, k)
    exists = positions >= 0
    used_ids, string_of_entry = np.unique(token_ids[positions[exists]], return_inverse=True)
    strings = _look_up(used_ids, vocabulary)
    entries = iter(string_of_entry.tolist())
    # Missing tokens are all at the end of a row, so that the entries of a feature are consecutive.
    per_feature = [tuple(strings[next(entries)] for _ in range(count)) for count in exists.sum(axis=1).tolist()]
    return TopTokens(positions, per_feature)


def _look_up(token_ids: np.ndarray, vocabulary: Sequence[str] | Mapping[int, str]) -> list[str]:
    """The string of each id; a negative id must not count from a sequence's end."""
    strings = []
    for token_id in token_ids.tolist():
        try:
            if token_id < 0:
                raise KeyError(token_id)
            strings.append(vocabulary[token_id])
        except (KeyError, IndexError):
            raise ValueError(f"expected token ids of a vocabulary of {len(vocabulary)}, got {token_id}") from None
    return strings


@cache
def _compiled_highest_entries() -> Callable[..., Int64[np.ndarray, "d_sae k"]]:
    return compiled()(_highest_entries)


def _highest_entries(
    indptr: Int64[np.ndarray, " d_sae+1"],
    tokens: Int32[np.ndarray, " nnz"],
    values: Float32[np.ndarray, " nnz"],
    k: int,
) -> Int64[np.ndarray, "d_sae k"]:
    """Tokens of the k highest values of every column, highest first; -1 where the column has fewer.

    Tokens ascend within a column, so keeping the earlier of two equal values sends ties to the lowest token.
    """
    d_sae = len(indptr) - 1
    positions = np.full((d_sae, k), -1, dtype=np.int64)
    highest = np.empty(k, dtype=np.float32)
    for feature in range(d_sae):
        n_kept = 0
        for entry in range(indptr[feature], indptr[feature + 1]):
            value = values[entry]
            if n_kept == k and value <= highest[k - 1]:
                continue
            slot = min(n_kept, k - 1)
            while slot > 0 and value > highest[slot - 1]:
                highest[slot] = highest[slot - 1]
                positions[feature, slot] = positions[feature, slot - 1]
                slot -= 1
            highest[slot] = value
            positions[feature, slot] = tokens[entry]
            n_kept = min(n_kept + 1, k)
    return positions
