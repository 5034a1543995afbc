"""What two Lightning passes stream: moments of both streams, and features at home and abroad."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from analogue.transfer import PairedMoments, paired_moments


class StreamedMoments(Metric):
    """`PairedMoments` over batches and ranks, those of shuffled tokens, and a sample of the tokens."""

    full_state_update = False
    sample_x: list[Tensor]
    sample_y: list[Tensor]
    xy_shuffled: Tensor

    def __init__(self, d_x: int, d_y: int) -> None:
        super().__init__()
        shapes = {"n": (), "sum_x": (d_x,), "sum_y": (d_y,), "xx": (d_x, d_x), "yy": (d_y, d_y), "xy": (d_x, d_y)}
        for name, shape in (shapes | {"xy_shuffled": (d_x, d_y)}).items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("sample_x", "sample_y"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.set_dtype(torch.float64)

    def update(self, x: Tensor, y: Tensor, in_sample: Tensor, order: Tensor) -> None:
        for name, value in paired_moments(x, y)._asdict().items():
            setattr(self, name, getattr(self, name) + value)
        self.xy_shuffled = self.xy_shuffled + x.double().T @ y[order].double()
        self.sample_x.append(x[in_sample].double())
        self.sample_y.append(y[in_sample].double())

    def compute(self) -> tuple[Tensor, ...]:
        sample = dim_zero_cat(self.sample_x), dim_zero_cat(self.sample_y)
        return (*(getattr(self, name) for name in PairedMoments._fields), self.xy_shuffled, *sample)


class FeatureCorrelation(Metric):
    """How often each feature fires at home and abroad, and the correlation of its activations there, streamed."""

    full_state_update = False
    n: Tensor
    n_home: Tensor
    n_abroad: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor

    def __init__(self, d_sae: int) -> None:
        super().__init__()
        for name in ("n_home", "n_abroad", "x", "y", "xx", "yy", "xy"):
            self.add_state(name, torch.zeros(d_sae, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.set_dtype(torch.float64)

    def update(self, home: Float[Tensor, "n d_sae"], abroad: Float[Tensor, "n d_sae"]) -> None:
        x, y = home.float(), abroad.float()
        sums = {"n_home": x != 0, "n_abroad": y != 0, "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
        for name, values in sums.items():
            setattr(self, name, getattr(self, name) + values.sum(0, dtype=torch.float64))
        self.n = self.n + len(x)

    def compute(self) -> dict[str, float]:
        """`alive`: share of the features alive at home that fire abroad, too; `correlation`: mean over those."""
        alive = self.n_home > 0
        both = alive & (self.n_abroad > 0)
        product = self.xy - self.x * self.y / self.n
        norm = (self.xx - self.x**2 / self.n).clamp(min=0).sqrt() * (self.yy - self.y**2 / self.n).clamp(min=0).sqrt()
        correlation = (product / norm)[both & (norm > 0)]
        return {
            "alive": float(both.sum() / alive.sum()) if alive.any() else float("nan"),
            "correlation": float(correlation.mean()) if len(correlation) else float("nan"),
        }
