"""Trainers on machines that are not this one."""

import pytest
from lightning.pytorch.accelerators import MPSAccelerator

from analogue.errors import UserError
from analogue.trainer import open_trainer


def test_a_gpu_without_float64_is_passed_over_and_refused_if_asked_for(monkeypatch):
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    assert open_trainer({"accelerator": "auto", "devices": 1}, logger=False).strategy.root_device.type == "cpu"
    with pytest.raises(UserError, match="trainer.accelerator=mps is a device without float64") as told:
        open_trainer({"accelerator": "mps", "devices": 1}, logger=False)
    assert "use cpu, or a CUDA device" in str(told.value)
