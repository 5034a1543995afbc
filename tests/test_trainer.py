"""Trainers on machines that are not this one: Apple's, and SLURM's."""

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.accelerators import MPSAccelerator
from lightning.pytorch.plugins.io import AsyncCheckpointIO

from analogue.errors import InvalidArgument
from analogue.trainer import open_trainer


def test_a_gpu_without_float64_is_passed_over_and_refused_if_asked_for(monkeypatch):
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    assert open_trainer({"accelerator": "auto", "devices": 1}, logger=False).strategy.root_device.type == "cpu"
    for asked_for in ("mps", "gpu"):
        with pytest.raises(InvalidArgument, match=f"trainer.accelerator={asked_for}: does not support float64"):
            open_trainer({"accelerator": asked_for, "devices": 1}, logger=False)


IN_A_SCRIPT = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "study", "SLURM_PROCID": "0"}
IN_A_SCRIPT |= {"SLURM_NODEID": "0", "SLURM_LOCALID": "0", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "here"}


@pytest.fixture
def slurm(monkeypatch):
    """A process that SLURM has started, with some variables more."""

    def started(**more):
        for name, value in (IN_A_SCRIPT | more).items():
            monkeypatch.setenv(name, value)

    return started


@pytest.mark.parametrize("more", [{}, {"SLURM_NTASKS_PER_NODE": "2"}])
@pytest.mark.parametrize("plugins", [{}, {"plugins": [AsyncCheckpointIO()]}])
def test_a_script_of_sbatch_is_one_process_that_starts_its_own_ranks(slurm, more, plugins):
    slurm(**more)
    assert open_trainer({"accelerator": "cpu", "devices": 1}, logger=False, **plugins).world_size == 1
    trainer = open_trainer({"accelerator": "cpu", "devices": 2, "strategy": "ddp"}, logger=False, **plugins)
    environment = trainer.strategy.cluster_environment
    assert isinstance(environment, LightningEnvironment)
    assert not environment.creates_processes_externally
    assert trainer.world_size == 2


def test_tasks_of_srun_share_the_work_or_are_refused_in_a_sentence(slurm):
    slurm(SLURM_STEP_ID="0")
    with pytest.raises(InvalidArgument, match=r"Lightning cannot run with these settings \(You set `--ntasks=2`"):
        open_trainer({"accelerator": "cpu", "devices": 1}, logger=False)
    slurm(SLURM_STEP_ID="0", SLURM_NTASKS_PER_NODE="2")
    with pytest.raises(InvalidArgument, match=r"^trainer.devices=1: is one process, but srun has started 2; let them"):
        open_trainer({"accelerator": "cpu", "devices": 1}, logger=False)
    trainer = open_trainer({"accelerator": "cpu", "devices": 2, "strategy": "ddp"}, logger=False)
    assert trainer.strategy.cluster_environment.creates_processes_externally
