"""How well an SAE reconstructs its input: explained variance, L0 and dead features."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

LOW_EXPLAINED_VARIANCE = 0.5
SUSPECTS = "wrong layer, hook or scaling"
"""Probable causes of a lower one."""


class Quality(NamedTuple):
    """The quality of an SAE on some tokens.

    Attributes:
        explained_variance: 1 - squared error / squared distance from the mean, each summed over tokens and dimensions.
            1 is perfect, 0 no better than the mean; NaN where the input does not vary.
        l0: mean number of active features per token, as `FeatureActivations.l0`; NaN without tokens.
        dead_fraction: fraction of features that fired on none of these tokens. (Training has a count of its own: the
            features that have not fired on the last `dead_after_tokens` tokens.)
        n_tokens: number of these tokens.
    """

    explained_variance: float
    l0: float
    dead_fraction: float
    n_tokens: int


class ExplainedVariance(Metric):
    """The share of a stream's variance that a reconstruction explains, streamed over batches and ranks in float64.

    1 - squared error / squared distance from the mean, each summed over tokens and dimensions; see `Quality`.
    """

    full_state_update = False
    squared_error: Tensor
    squared_norm: Tensor
    total: Tensor
    n_tokens: Tensor

    def __init__(self, d_in: int) -> None:
        super().__init__()
        shapes: dict[str, tuple[int, ...]] = {"squared_error": (), "squared_norm": (), "total": (d_in,)}
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_tokens", torch.tensor(0), dist_reduce_fx="sum")
        self.set_dtype(torch.float64)

    def update(self, resid: Float[Tensor, "n_tokens d_in"], reconstruction: Float[Tensor, "n_tokens d_in"]) -> None:
        exact = resid.double()
        self.squared_error += (exact - reconstruction.double()).square().sum()
        self.squared_norm += exact.square().sum()
        self.total += exact.sum(0)
        self.n_tokens += len(resid)

    def compute(self) -> Any:
        return self.share()

    def share(self) -> float:
        """The explained variance on the tokens that this rank has seen; NaN where the stream does not vary."""
        n_tokens = int(self.n_tokens)
        variation = self.squared_norm - self.total.square().sum() / max(n_tokens, 1)
        rounding = n_tokens * torch.finfo(torch.float64).eps * self.squared_norm  # the error of the sums
        return float(1 - self.squared_error / variation) if variation > rounding else float("nan")


class ReconstructionQuality(ExplainedVariance):
    """Explained variance, L0 and dead features, streamed over batches and ranks."""

    n_active: Tensor

    def __init__(self, d_in: int, d_sae: int) -> None:
        super().__init__(d_in)
        self.add_state("n_active", torch.zeros(d_sae, dtype=torch.int64), dist_reduce_fx="sum")

    def update(  # type: ignore[override]
        self,
        resid: Float[Tensor, "n_tokens d_in"],
        reconstruction: Float[Tensor, "n_tokens d_in"],
        acts: Float[Tensor, "n_tokens d_sae"],
    ) -> None:
        super().update(resid, reconstruction)
        self.n_active += (acts != 0).sum(0)

    def compute(self) -> Quality:
        return self.so_far()

    def so_far(self) -> Quality:
        """The quality on the tokens that this rank has seen; `compute` gives that of all ranks."""
        n_tokens = int(self.n_tokens)
        return Quality(
            explained_variance=self.share(),
            l0=float(self.n_active.sum()) / n_tokens if n_tokens else float("nan"),
            dead_fraction=float((self.n_active == 0).double().mean()),
            n_tokens=n_tokens,
        )


def misfit_warnings(
    explained: float | None,
    of_what: str,
    first_tokens_count: bool,
    suspects: str = SUSPECTS,
    reason: str | None = None,
) -> list[str]:
    """Warnings about an SAE that explains little of what it reads, as predicates of that SAE.

    Args:
        explained: share of the variance that the SAE explains; None or NaN where there is no variance.
        of_what: what it reads (`layer 3 of gpt2`).
        first_tokens_count: whether the first tokens of texts count.
        suspects: the probable causes.
        reason: something that was asked for and that is enough to explain it; None for nothing.
    """
    if explained is not None and explained >= LOW_EXPLAINED_VARIANCE:
        return []
    share = "no variance" if explained is None or explained != explained else f"{explained:.3f} of the variance"
    if reason is not None:
        return [f"explains {share} of {of_what}: {reason}"]
    first = " Or do the first tokens dwarf the rest (`exclude_bos`=true leaves them out)?" if first_tokens_count else ""
    return [f"explains {share} of {of_what}: {suspects}?{first}"]
