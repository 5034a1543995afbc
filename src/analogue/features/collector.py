"""Gathers sparse feature activations over batches and ranks."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from analogue.features.activations import FeatureActivations


class ActivationCollector(Metric):
    """Sparse activations of all tokens that any rank has seen, in the order of their positions.

    The order of batches and the sharding over ranks do not matter: `compute` sorts by position. Each position must be
    given once. Callers use `activations`; `compute` returns plain arrays because torchmetrics walks into its result.

    Attributes:
        position: of each token, by batch.
        n_features: the number of features that fire on each token.
        indices: those features, one token's after the other's.
        values: their activations.
    """

    full_state_update = False
    position: list[Tensor]
    n_features: list[Tensor]
    indices: list[Tensor]
    values: list[Tensor]

    def __init__(self, d_sae: int) -> None:
        super().__init__()
        self.d_sae = d_sae
        for name in ("position", "n_features", "indices", "values"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, position: Int64[Tensor, " n_tokens"], acts: Float[Tensor, "n_tokens d_sae"]) -> None:
        """Add the activations of some tokens, whose places in the corpus are `position`."""
        token, feature = acts.nonzero(as_tuple=True)
        self.position.append(position)
        self.n_features.append(torch.bincount(token, minlength=len(position)))
        self.indices.append(feature.int())
        self.values.append(acts[token, feature].float())
        for parts in (self.position, self.n_features, self.indices, self.values):
            _string_together(parts)

    def activations(self) -> FeatureActivations:
        """Everything collected, on every rank."""
        return FeatureActivations(*self.compute(), self.d_sae)

    def compute(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        position, n_features, indices, values = (
            dim_zero_cat(state).cpu().numpy() for state in (self.position, self.n_features, self.indices, self.values)
        )
        order = np.argsort(position, kind="stable")
        if (np.diff(position[order]) == 0).any():
            raise ValueError("expected each position once, got some twice")
        starts = np.cumsum(n_features) - n_features
        counts = n_features[order]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        entries = np.repeat(starts[order] - indptr[:-1], counts) + np.arange(indptr[-1])
        return indptr, indices[entries], values[entries]


def _string_together(parts: list[Tensor]) -> None:
    """Join parts until each is more than twice as long as the next, so that few are left.

    Many small parts would lie between the large blocks of memory that every batch takes and frees, and would keep
    those blocks from going back to the system.
    """
    while len(parts) > 1 and len(parts[-2]) <= 2 * len(parts[-1]):
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
