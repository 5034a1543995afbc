"""A training run on a handful of tensors, and the embedded model's streams."""

from dataclasses import dataclass, field

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from analogue.cli.train_sae import train_saes
from analogue.training.module import SAETraining
from analogue.training.sae import SAEUnderTraining, new_sae

D_IN, BATCH = 12, 32
SMALL = (
    "n_tokens=8192",
    "batch_tokens=256",
    "buffer.tokens=2048",
    "buffer.sequences_per_pass=4",
    "data.seq_len=64",
    "evaluation.n_tokens=512",
    "evaluation.n_sequences=2",
    "checkpoints.every_steps=5",
    "logger=none",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
)


class FixedBatches(L.LightningDataModule):
    def __init__(self, batches, held_out=()):
        super().__init__()
        self.batches, self.held_out = batches, held_out

    def train_dataloader(self):
        share = slice(self.trainer.global_rank, None, self.trainer.world_size)
        batches = [{layer: acts[share] for layer, acts in batch.items()} for batch in self.batches]
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self):
        return DataLoader(self.held_out, batch_size=None)

    def sample(self):
        return {layer: torch.cat([batch[layer] for batch in self.batches[:8]]) for layer in self.batches[0]}


@dataclass
class Losses(L.Callback):
    """Keeps the loss of every step."""

    seen: list = field(default_factory=list)

    def on_train_batch_end(self, trainer, pl_module, outputs, *args):
        self.seen.append(float(outputs["loss"].detach()))


def random_batches(n, layers=(0,), seed=0, d_in=D_IN, batch=BATCH):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d_in, d_in, generator=generator)
    return [{layer: torch.randn(batch, d_in, generator=generator) @ mixing for layer in layers} for _ in range(n)]


def sae_of(architecture, seed=0, d_sae=48, d_in=D_IN, warm_up=10, **settings):
    return new_sae(architecture, settings, d_in, d_sae, seed, warm_up, {"model_name": "none"})


def module_of(saes, learning_rate=1e-3, warm_up=20, decay=40, dead_after_tokens=50 * BATCH, layers=None):
    named = {name: SAEUnderTraining(sae, (layers or {}).get(name, 0), dead_after_tokens) for name, sae in saes.items()}
    return SAETraining(named, learning_rate, warm_up, decay)


def fit(module, batches, held_out=(), callbacks=(), **settings):
    losses = Losses()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    given = quiet | {"enable_checkpointing": False, "max_epochs": 1, "limit_val_batches": len(held_out)}
    given |= {"use_distributed_sampler": False} | settings
    trainer = L.Trainer(**given, callbacks=[losses, *callbacks])
    data = FixedBatches(batches, held_out)
    module.sample = data.sample
    trainer.fit(module, datamodule=data)
    return losses.seen


@pytest.fixture(autouse=True)
def one_thread():
    """The steps are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def train(compose_config, tmp_path):
    """A small training run of the embedded model, on the CPU unless another device is given."""

    def run(*overrides):
        given = {override.split("=")[0] for override in overrides}
        small = [each for each in SMALL if each.split("=")[0] not in given]
        place = () if "output_dir" in given else (f"output_dir={tmp_path}/saes",)
        return train_saes(compose_config("train_sae", *small, *place, *overrides))

    return run
