"""An MLP's neurons as a dictionary of their own, without an SAE."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NEURONS = "neurons"
"""What stands in an SAE's place to compare the neurons themselves."""


@dataclass(frozen=True)
class NeuronsConfig:
    """The sizes of `Neurons`, under the names of SAELens's configurations."""

    d_in: int
    d_sae: int
    normalize_activations: str = "none"
    metadata: dict[str, Any] = field(default_factory=dict)

    def architecture(self) -> str:
        return NEURONS

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Neurons(nn.Module):
    """The hidden activations of an MLP as features, with the rows of its output projection as their decoder.

    Features are non-negative, and a neuron of a gated MLP is negative as often as positive. So each neuron is two
    features: i, its positive part, which writes the row, and d_mlp + i, its negative part, which writes minus the row.
    Nothing is lost, and a pair says in which of its two directions a neuron has a partner. In MLPs with ReLU the second
    halves are dead.

    Args:
        output_rows: of the output projection: what each neuron adds to the MLP's output where it is 1.
    """

    def __init__(self, output_rows: Float[Tensor, "d_mlp d_model"]) -> None:
        super().__init__()
        self.register_buffer("W_dec", torch.cat([output_rows, -output_rows]))
        self.W_dec: Float[Tensor, "2*d_mlp d_model"]
        self.activation_fn = nn.ReLU()
        self.cfg = NeuronsConfig(d_in=len(output_rows), d_sae=len(self.W_dec))

    @property
    def dtype(self) -> torch.dtype:
        return self.W_dec.dtype

    def encode(self, hidden: Float[Tensor, "n_tokens d_mlp"]) -> Float[Tensor, "n_tokens 2*d_mlp"]:
        """The positive parts of the neurons, then the negative ones."""
        hidden = hidden.to(self.dtype)
        return torch.cat([hidden.relu(), (-hidden).relu()], dim=-1)

    def decode(self, acts: Float[Tensor, "n_tokens 2*d_mlp"]) -> Float[Tensor, "n_tokens d_mlp"]:
        """The neurons that were encoded."""
        positive, negative = acts.chunk(2, dim=-1)
        return positive - negative
