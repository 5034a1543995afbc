"""Dictionaries that nobody trained: the neurons of an MLP, the coordinates of a stream, and random directions."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from analogue.errors import InvalidArgument, check_minima

NEURONS = "neurons"
"""What stands in an SAE's place to compare the neurons themselves."""
IDENTITY = "identity"
"""What stands there for the coordinates of what is read."""
RANDOM = "random"
"""What stands there, with a seed, for random directions: `random:seed=0`."""
EXPANSION_FACTOR = 8  # random directions per dimension
_SETTINGS = ("seed", "d_sae", "k")


@dataclass(frozen=True)
class BasisConfig:
    """The sizes of a dictionary, under the names of SAELens's configurations."""

    name: str
    d_in: int
    d_sae: int
    normalize_activations: str = "none"
    metadata: dict[str, Any] = field(default_factory=dict)

    def architecture(self) -> str:
        """What SAELens's configurations call their kind."""
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """The fields by their names."""
        return asdict(self)


class SignedBasis(nn.Module):
    """Numbers that a model computes, as features: the neurons of an MLP, or the coordinates of its residual stream.

    Features are non-negative, and a coordinate, or a neuron of a gated MLP, is negative as often as positive. So each
    is two features: i, its positive part, which writes the row, and d_in + i, its negative part, which writes minus the
    row. Nothing is lost, and a pair shows in which of its two directions a coordinate has a partner. In MLPs with ReLU
    the second halves are dead.

    Args:
        rows: what each number adds to what is written where it is 1: a neuron's row of the output projection, or for
            coordinates the row of the identity.
        name: of the architecture, `neurons` or `identity`.
    """

    def __init__(self, rows: Float[Tensor, "d_in d_out"], name: str) -> None:
        super().__init__()
        self.register_buffer("W_dec", torch.cat([rows, -rows]))
        self.W_dec: Float[Tensor, "2*d_in d_out"]
        self.activation_fn = nn.ReLU()
        self.cfg = BasisConfig(name, d_in=len(rows), d_sae=len(self.W_dec))

    @property
    def W_enc(self) -> Float[Tensor, "d_in 2*d_in"]:
        """The direction that each feature reads, a column each."""
        basis = torch.eye(self.cfg.d_in, dtype=self.dtype)
        return torch.cat([basis, -basis], dim=1)

    @property
    def dtype(self) -> torch.dtype:
        """Of the directions."""
        return self.W_dec.dtype

    def encode(self, read: Float[Tensor, "n_tokens d_in"]) -> Float[Tensor, "n_tokens 2*d_in"]:
        """The positive parts, then the negative ones."""
        read = read.to(self.dtype)
        return torch.cat([read.relu(), (-read).relu()], dim=-1)

    def decode(self, acts: Float[Tensor, "n_tokens 2*d_in"]) -> Float[Tensor, "n_tokens d_in"]:
        """What was encoded."""
        positive, negative = acts.chunk(2, dim=-1)
        return positive - negative


def is_raw_basis(sae: Any) -> bool:
    """Whether a side's `sae` names the coordinates or random directions of what is read."""
    return isinstance(sae, str) and (sae == IDENTITY or re.match(rf"{RANDOM}(:|$)", sae) is not None)


def raw_basis(name: str, d_in: int, default_k: int = 32, dtype: str = "float32") -> Any:
    """The dictionary of that name, of what has the width `d_in`.

    Random directions are Gaussian rows of unit norm, which encode and decode, without biases; on each token the k
    highest are active, if they are positive. They do not depend on the stream, not even on its mean.

    Args:
        name: `identity`, or `random:seed=0`, with `d_sae` (8 times the width unless given) and `k`:
            `random:seed=0,d_sae=4096,k=32`.
        d_in: the width of what is read.
        default_k: of random directions whose name gives no `k`.
        dtype: of the weights.

    Raises:
        InvalidArgument: naming `path`.

    Example:
        >>> raw_basis("random:seed=1,k=4", 64).encode(torch.randn(5, 64)).count_nonzero(1).max().item()
        4
    """
    if name == IDENTITY:
        return SignedBasis(torch.eye(d_in, dtype=getattr(torch, dtype)), IDENTITY)
    settings = _settings(name)
    d_sae = settings.get("d_sae", EXPANSION_FACTOR * d_in)
    k = settings.get("k", min(default_k, d_sae))
    try:
        check_minima({"d_sae": (d_sae, 1), "k": (k, 1), "seed": (settings["seed"], 0)})
    except InvalidArgument as error:
        raise InvalidArgument("path", name, f"has {error.argument}={error.value}, which {error.problem}") from error
    if k > d_sae:
        raise InvalidArgument("path", name, f"asks for the {k} highest of {d_sae} directions; give a smaller k")
    return _random_directions(d_in, d_sae, k, settings["seed"], dtype)


def _settings(name: str) -> dict[str, int]:
    given = [each.partition("=") for each in name.partition(":")[2].split(",") if each]
    readable = all(key in _SETTINGS and re.fullmatch(r"\d+", value) for key, _, value in given)
    if not readable or "seed" not in [key for key, _, _ in given]:
        problem = f"does not say which random directions; write {RANDOM}:seed=0, or {RANDOM}:seed=0,d_sae=4096,k=32"
        raise InvalidArgument("path", name, problem)
    return {key: int(value) for key, _, value in given}


def _random_directions(d_in: int, d_sae: int, k: int, seed: int, dtype: str) -> Any:
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(d_sae, d_in, generator=generator)
    rows /= rows.norm(dim=-1, keepdim=True)
    sae = TopKSAE(TopKSAEConfig(d_in=d_in, d_sae=d_sae, k=k, dtype=dtype, device="cpu"))
    with torch.no_grad():
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(rows.T)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    return sae.eval().requires_grad_(False)
