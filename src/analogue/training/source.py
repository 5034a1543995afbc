"""Where activations come from: the model, as they are needed, or a folder that an earlier run has filled."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from jaxtyping import Bool, Float, Int64
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from analogue.atomic import atomic_write
from analogue.entries import make_room
from analogue.errors import Unavailable, warn
from analogue.models import ResidualStream

SEQUENCES_PER_SHARD = 256
MANIFEST = "manifest.json"
MOST_GB = 100  # 10^9 bytes that all folders of stored activations may take
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
        """The activations of these sequences, by layer."""
        device = next(self.model.parameters()).device
        places = self.counted[sequences].flatten().nonzero().squeeze(1)  # found on the CPU, the device need not wait
        ids, mask, places = (to_device(each, device) for each in (self.ids[sequences], self.mask[sequences], places))
        resid = self.model(ids, mask, self.layers)
        return {layer: acts.flatten(0, 1)[places] for layer, acts in resid.items()}


@dataclass(frozen=True, eq=False)
class DiskSource:
    """Reads sequences from a folder that `store_activations` has filled.

    Attributes:
        shards: the folder's files, opened: they stay readable after the folder is removed.
    """

    shards: Sequence[Any]
    lengths: Int64[Tensor, " n_sequences"]
    layers: Sequence[int]

    def __call__(self, sequences: Int64[Tensor, " n"]) -> ActivationBatch:
        """The activations of these sequences, by layer."""
        rows = [self._rows(number) for number in sequences.tolist()]
        return {layer: torch.cat([row[layer] for row in rows]) for layer in self.layers}

    def _rows(self, number: int) -> ActivationBatch:
        shard, first = divmod(number, SEQUENCES_PER_SHARD)
        start = int(self.lengths[number - first : number].sum())
        stop = start + int(self.lengths[number])
        return {layer: self.shards[shard].get_slice(f"layer_{layer}")[start:stop] for layer in self.layers}


def store_activations(
    source: ModelSource, directory: Path, sequences_per_pass: int, progress: bool = False
) -> DiskSource:
    """Write the activations of all sequences to a folder, unless they are there; the folder appears complete.

    The policy is that of `analogue.features.ActivationStore`: the folder carries its own name and a checksum of every
    file, which are verified when it is opened; a damaged one is computed again. One process fills it. Beyond `MOST_GB`
    the folders beside it that were used least recently are removed.

    Args:
        directory: its name is that of the contents.
        sequences_per_pass: sequences that the model reads at once.
        progress: whether to show a progress bar.

    Raises:
        Unavailable: the folder cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _lock(directory).acquire():
            if directory.exists() and (damage := _damage(directory, len(source.ids))):
                message = f"the stored activations {directory.name} are damaged ({damage}) and will be computed again"
                warn(message)
                shutil.rmtree(directory)
            if not directory.exists():
                with atomic_write(directory) as temporary:
                    temporary.mkdir()
                    _write_shards(source, temporary, sequences_per_pass, progress)
                    contents = {file.name: _checksum(file) for file in sorted(temporary.iterdir())}
                    manifest = {"name": directory.name, "files": contents}
                    (temporary / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
                folders = (manifest.parent for manifest in directory.parent.glob(f"*/{MANIFEST}"))
                make_room(folders, MOST_GB * 1e9, _lock, keep=directory)
            os.utime(directory / MANIFEST)
            shards = [safe_open(directory / name, framework="pt") for name in _shard_names(len(source.ids))]
    except (OSError, SafetensorError) as error:
        problem = f"cannot be written to ({error}); choose another directory, or compute activations while training"
        raise Unavailable("cache_dir", directory.parent, problem) from error
    return DiskSource(shards, source.lengths, source.layers)


def _lock(directory: Path) -> FileLock:
    return FileLock(directory.with_name(f"{directory.name}.lock"))


def _damage(directory: Path, n_sequences: int) -> str | None:
    """What is wrong with a folder; None if it is as it was written."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        name, files = manifest["name"], dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"its {MANIFEST} cannot be read"
    if name != directory.name:
        return f"it is the folder of {name}"
    for shard in _shard_names(n_sequences):
        if not (directory / shard).is_file():
            return f"{shard} is missing"
        if _checksum(directory / shard) != files.get(shard):
            return f"the checksum of {shard} does not match"
    return None


def _checksum(file: Path) -> str:
    with file.open("rb") as contents:
        return hashlib.file_digest(contents, "sha256").hexdigest()


def _write_shards(source: ModelSource, directory: Path, sequences_per_pass: int, progress: bool) -> None:
    shards = torch.arange(len(source.ids)).split(SEQUENCES_PER_SHARD)
    names = _shard_names(len(source.ids))
    described = "storing activations"
    for name, sequences in track([*zip(names, shards, strict=True)], described, transient=True, disable=not progress):
        parts = [source(some) for some in sequences.split(sequences_per_pass)]
        tensors = {
            f"layer_{layer}": torch.cat([part[layer] for part in parts]).cpu().contiguous() for layer in source.layers
        }
        save_file(tensors, directory / name)


def _shard_names(n_sequences: int) -> list[str]:
    return [f"shard_{number:05d}.safetensors" for number in range(ceil(n_sequences / SEQUENCES_PER_SHARD))]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on a device; to a CUDA device from pinned memory, so that the CPU need not wait for its queue."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
