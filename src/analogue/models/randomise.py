"""Models that know nothing: the control for what an SAE finds in any network of that shape."""

from typing import Literal

import torch
from torch import nn

Redrawn = Literal["weights", "all"]


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
        values = parameter.float()
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) not in kept:
            parameter.copy_(values.mean() + values.std(correction=0) * noise.to(values.device))
