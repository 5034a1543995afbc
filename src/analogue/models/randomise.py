"""Models with random weights: the control for what an SAE finds in any network of that shape."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CHUNK = 2**22  # parameters in double precision at a time


@torch.no_grad()
def redraw_parameters(model: nn.Module, seed: int, embeddings: bool = False) -> None:
    """Redraw each parameter, in place, from a normal distribution with that parameter's own mean and sd.

    A parameter whose entries are all equal stays as it is.

    Args:
        model: any module; shared parameters are redrawn once.
        seed: the same one gives the same parameters, on any device and in any precision up to rounding.
        embeddings: whether those of tokens and positions are redrawn too.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = (
        set() if embeddings else {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    )
    for parameter in model.parameters():
        chunks = _chunks(parameter)
        mean, sd = _mean_and_sd(chunks)
        for chunk in chunks:
            noise = torch.randn(chunk.shape, generator=generator)  # for kept ones, too: they do not shift the rest
            if id(parameter) not in kept:
                chunk.copy_(mean + sd * noise.to(chunk.device))


def _chunks(parameter: Tensor) -> tuple[Tensor, ...]:
    """Views of some of its rows each."""
    rows = torch.atleast_1d(parameter)
    return rows.split(max(1, CHUNK * len(rows) // max(1, rows.numel())))


def _mean_and_sd(chunks: Sequence[Tensor]) -> tuple[float, float]:
    n = sum(chunk.numel() for chunk in chunks)
    mean = sum(float(chunk.double().sum()) for chunk in chunks) / n
    return mean, (sum(float((chunk.double() - mean).square().sum()) for chunk in chunks) / n) ** 0.5
