"""Trainers on machines that are not this one."""

import pytest
from lightning.pytorch.accelerators import MPSAccelerator

from analogue.errors import InvalidArgument
from analogue.trainer import open_trainer


def test_a_gpu_without_float64_is_passed_over_and_refused_if_asked_for(monkeypatch):
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    assert open_trainer({"accelerator": "auto", "devices": 1}, logger=False).strategy.root_device.type == "cpu"
    for asked_for in ("mps", "gpu"):
        with pytest.raises(InvalidArgument, match=f"trainer.accelerator={asked_for}: does not support float64"):
            open_trainer({"accelerator": asked_for, "devices": 1}, logger=False)
