"""A device for the tests: a GPU where there is one, and on any machine torch's arithmetic on the CPU."""

import numpy as np
import pytest
import torch

from analogue.similarity import inputs


def keep_in_place(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Tensors of this device stay tensors, the CPU's too."""
    if device == "cpu":
        monkeypatch.setattr(inputs, "stays_in_place", inputs.is_tensor)


def placed(pair: tuple[np.ndarray, np.ndarray], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A pair of matrices on a device."""
    x, y = (torch.tensor(side, device=device) for side in pair)
    return x, y
