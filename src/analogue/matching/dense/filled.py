"""Sparse activations through the dense engine, for features that fire on a good part of the tokens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from scipy.sparse import csr_array

from analogue.features import FeatureActivations
from analogue.matching.dense.partners import best_partners_dense
from analogue.matching.dense.stream import Chunk
from analogue.matching.partners import BestPartners

# Activations of the wider side in a chunk: 128 MB.
_CHUNK_ENTRIES = 2**25

Features = Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class FilledChunks:
    """Sparse rows (n_tokens, d_a) and (n_tokens, d_b) as chunks of dense float32 ones, any number of times.

    On a CUDA device zeros are filled in there: the fewest bytes travel.
    """

    rows_a: csr_array
    rows_b: csr_array
    device: str

    def __iter__(self) -> Iterator[Chunk]:
        size = max(1, _CHUNK_ENTRIES // max(1, self.rows_a.shape[1], self.rows_b.shape[1]))
        for start in range(0, self.rows_a.shape[0], size):
            tokens = slice(start, start + size)
            yield _filled(self.rows_a[tokens], self.device), _filled(self.rows_b[tokens], self.device)


def best_partners_filled(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    k: int,
    direction: Literal["a_to_b", "b_to_a", "both"],
    subset_a: Features | None,
    subset_b: Features | None,
    device: str,
) -> BestPartners | tuple[BestPartners, BestPartners]:
    """`best_partners` by `best_partners_dense`; of a subset's features alone are there dense columns.

    Raises:
        ValueError: there is no token, or see `best_partners`.
    """
    (rows_a, own_a, place_a), (rows_b, own_b, place_b) = _columns(acts_a, subset_a), _columns(acts_b, subset_b)
    find: Callable[..., Any] = partial(
        best_partners_dense,
        FilledChunks(rows_a, rows_b, device),
        k,
        precision="float32" if torch.device(device).type == "cpu" else "tf32",
        device=device,
        subset_a=place_a,
        subset_b=place_b,
    )
    if direction == "both":
        a, b = find(direction="both")
        return _in_full_numbering(a, own_b), _in_full_numbering(b, own_a)
    found: BestPartners = find(direction=direction)
    return _in_full_numbering(found, own_b if direction == "a_to_b" else own_a)


def _columns(acts: FeatureActivations, subset: Features | None) -> tuple[csr_array, Features, Features | None]:
    """The features asked for, each once: their activations, their numbers, and where the subset's are among them."""
    if subset is None:
        return acts.to_scipy(), np.arange(acts.d_sae), None
    features, places = np.unique(subset, return_inverse=True)
    return acts.to_scipy()[:, features], features, places


def _in_full_numbering(found: BestPartners, features: Features) -> BestPartners:
    is_partner = found.indices >= 0
    indices = np.full_like(found.indices, -1)
    indices[is_partner] = features[found.indices[is_partner]]
    return BestPartners(indices, found.correlations)


def _filled(rows: csr_array, device: str) -> torch.Tensor:
    if torch.device(device).type == "cpu":
        return torch.from_numpy(rows.toarray())
    from analogue.matching.device import sparse_on

    return sparse_on(device, rows).to_dense()
