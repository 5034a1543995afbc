"""When a step of ours may stand in for SAELens's own forward pass."""

from typing import Any

import torch
from sae_lens import TrainingSAE


def is_plain(sae: TrainingSAE[Any], kind: type[TrainingSAE[Any]]) -> bool:
    """Whether this is an SAE of exactly that class, in float32, not autocast, that at most scales its input once."""
    scales_once = type(sae) is kind and sae.cfg.normalize_activations in ("none", "expected_average_only_in")
    return scales_once and sae.W_dec.dtype is torch.float32 and not torch.is_autocast_enabled(sae.W_dec.device.type)
