"""Tokens whose activations are so large that a few of them would decide every statistic."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def outliers(norms: Float[np.ndarray, " n_tokens"], factor: float) -> Bool[np.ndarray, " n_tokens"]:
    """Which tokens have more than `factor` times the median norm.

    Example:
        >>> outliers(np.array([1.0, 2.0, 3.0, 100.0]), 10).tolist()
        [False, False, False, True]
    """
    return norms > factor * np.median(norms) if len(norms) else np.zeros(0, dtype=bool)


@dataclass(frozen=True)
class NormsConfig:
    """The sizes of `TokenNorms`, under the names of SAELens's configurations."""

    d_in: int
    d_sae: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)


class TokenNorms(nn.Module):
    """Measures norms in place of an SAE: a dictionary whose one feature is the norm, and which reconstructs nothing.

    Args:
        d_in: the width of what is read.
    """

    dtype = torch.float32

    def __init__(self, d_in: int) -> None:
        super().__init__()
        self.cfg = NormsConfig(d_in)
        self.W_dec: Float[Tensor, "1 d_in"]
        self.register_buffer("W_dec", torch.zeros(1, d_in))

    def encode(self, read: Float[Tensor, "n_tokens d_in"]) -> Float[Tensor, "n_tokens 1"]:
        """The norm of each token."""
        return read.float().norm(dim=-1, keepdim=True)

    def decode(self, acts: Float[Tensor, "n_tokens 1"]) -> Float[Tensor, "n_tokens d_in"]:
        """Zeros: norms say nothing of directions."""
        return acts @ self.W_dec
