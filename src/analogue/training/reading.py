"""Activations of sequences: from the model as they are needed, or from disk where a run has left them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from jaxtyping import Bool, Int64
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from analogue.atomic import atomic_write
from analogue.errors import UserError
from analogue.models import ResidualStream
from analogue.training.activations import ActivationBatch, sent

SEQUENCES_A_SHARD = 256


@dataclass(frozen=True, eq=False)
class FromModel:
    """Reads sequences with a language model.

    Attributes:
        ids: (n_sequences, seq_len) token ids.
        mask: False for padding.
        counted: tokens whose activations are used; not padding, and perhaps not the first.
    """

    model: ResidualStream
    ids: Int64[Tensor, "n_sequences seq_len"]
    mask: Bool[Tensor, "n_sequences seq_len"]
    counted: Bool[Tensor, "n_sequences seq_len"]
    layers: Sequence[int]

    @property
    def lengths(self) -> Int64[Tensor, " n_sequences"]:
        """Tokens used of each sequence."""
        return self.counted.sum(1)

    def __call__(self, sequences: Int64[Tensor, " n"]) -> ActivationBatch:
        device = next(self.model.parameters()).device
        places = self.counted[sequences].flatten().nonzero().squeeze(1)  # found on the CPU, the device need not wait
        ids, mask, places = (sent(each, device) for each in (self.ids[sequences], self.mask[sequences], places))
        resid = self.model(ids, mask, self.layers)
        return {layer: acts.flatten(0, 1)[places] for layer, acts in resid.items()}


@dataclass(frozen=True, eq=False)
class FromDisk:
    """Reads sequences from a folder that `store_activations` has filled."""

    directory: Path
    lengths: Int64[Tensor, " n_sequences"]
    layers: Sequence[int]

    def __call__(self, sequences: Int64[Tensor, " n"]) -> ActivationBatch:
        rows = [self._rows(number) for number in sequences.tolist()]
        return {layer: torch.cat([row[layer] for row in rows]) for layer in self.layers}

    def _rows(self, number: int) -> ActivationBatch:
        shard, first = divmod(number, SEQUENCES_A_SHARD)
        start = int(self.lengths[number - first : number].sum())
        with safe_open(self.directory / _shard_name(shard), framework="pt") as file:
            stop = start + int(self.lengths[number])
            return {layer: file.get_slice(f"layer_{layer}")[start:stop] for layer in self.layers}


def store_activations(source: FromModel, directory: Path) -> FromDisk:
    """Write the activations of all sequences to a folder, unless they are there; it appears whole or not at all.

    Two processes that want the same folder fill it once.

    Raises:
        UserError: the disk does not take it.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.with_name(f"{directory.name}.lock")):
            if not directory.is_dir():
                with atomic_write(directory) as temporary:
                    temporary.mkdir()
                    _write_shards(source, temporary)
    except (OSError, SafetensorError) as error:
        problem = f"cannot be written to ({error}); choose another directory, or data.activations=live"
        raise UserError("data.cache_dir", directory.parent, problem) from error
    return FromDisk(directory, source.lengths, source.layers)


def _write_shards(source: FromModel, directory: Path) -> None:
    shards = torch.arange(len(source.ids)).split(SEQUENCES_A_SHARD)
    for number, sequences in enumerate(track(shards, description="storing activations", transient=True)):
        parts = [source(some) for some in sequences.split(16)]
        tensors = {
            f"layer_{layer}": torch.cat([part[layer] for part in parts]).cpu().contiguous() for layer in source.layers
        }
        save_file(tensors, directory / _shard_name(number))


def _shard_name(number: int) -> str:
    return f"shard_{number:05d}.safetensors"
