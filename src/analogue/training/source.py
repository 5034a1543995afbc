"""Where activations come from: the model, as they are needed, or a folder that an earlier run has filled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from jaxtyping import Bool, Float, Int64
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from analogue.atomic import atomic_write
from analogue.errors import Unavailable
from analogue.models import ResidualStream

SEQUENCES_PER_SHARD = 256
ActivationBatch = dict[int, Float[Tensor, "n_tokens d_model"]]
"""By layer."""
ActivationSource = Callable[[Int64[Tensor, " n_sequences"]], ActivationBatch]
"""From the numbers of sequences to the activations of their tokens, one sequence after the other."""


@dataclass(frozen=True, eq=False)
class ModelSource:
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
        ids, mask, places = (to_device(each, device) for each in (self.ids[sequences], self.mask[sequences], places))
        resid = self.model(ids, mask, self.layers)
        return {layer: acts.flatten(0, 1)[places] for layer, acts in resid.items()}


@dataclass(frozen=True, eq=False)
class DiskSource:
    """Reads sequences from a folder that `store_activations` has filled."""

    directory: Path
    lengths: Int64[Tensor, " n_sequences"]
    layers: Sequence[int]

    def __call__(self, sequences: Int64[Tensor, " n"]) -> ActivationBatch:
        rows = [self._rows(number) for number in sequences.tolist()]
        return {layer: torch.cat([row[layer] for row in rows]) for layer in self.layers}

    def _rows(self, number: int) -> ActivationBatch:
        shard, first = divmod(number, SEQUENCES_PER_SHARD)
        start = int(self.lengths[number - first : number].sum())
        with safe_open(self.directory / _shard_name(shard), framework="pt") as file:
            stop = start + int(self.lengths[number])
            return {layer: file.get_slice(f"layer_{layer}")[start:stop] for layer in self.layers}


def store_activations(
    source: ModelSource, directory: Path, sequences_per_pass: int, progress: bool = False
) -> DiskSource:
    """Write the activations of all sequences to a folder, unless they are there; the folder appears complete.

    If two processes want the same folder, one of them fills it.

    Args:
        sequences_per_pass: sequences that the model reads at once.
        progress: whether to show a progress bar.

    Raises:
        Unavailable: the folder cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.with_name(f"{directory.name}.lock")):
            if not directory.is_dir():
                with atomic_write(directory) as temporary:
                    temporary.mkdir()
                    _write_shards(source, temporary, sequences_per_pass, progress)
    except (OSError, SafetensorError) as error:
        problem = f"cannot be written to ({error}); choose another directory, or compute activations while training"
        raise Unavailable("cache_dir", directory.parent, problem) from error
    return DiskSource(directory, source.lengths, source.layers)


def _write_shards(source: ModelSource, directory: Path, sequences_per_pass: int, progress: bool) -> None:
    shards = torch.arange(len(source.ids)).split(SEQUENCES_PER_SHARD)
    for number, sequences in enumerate(track(shards, "storing activations", transient=True, disable=not progress)):
        parts = [source(some) for some in sequences.split(sequences_per_pass)]
        tensors = {
            f"layer_{layer}": torch.cat([part[layer] for part in parts]).cpu().contiguous() for layer in source.layers
        }
        save_file(tensors, directory / _shard_name(number))


def _shard_name(number: int) -> str:
    return f"shard_{number:05d}.safetensors"


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on a device; to a CUDA device from pinned memory, so that the CPU need not wait for its queue."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
