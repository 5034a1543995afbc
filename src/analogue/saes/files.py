"""The files of an SAE: where they lie, and what stands in them. Nothing is unpickled."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analogue.errors import first_line, shown

Kinds = Mapping[str, type]
"""What kind of value stands under a name: `int` and `float` are no truth values, and finite."""

NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    dict: "an object",
    list: "a list",
}
INDEX = ".index.json"  # of a file in several parts
VALUES_AT_ONCE = 2**20


class Unreadable(Exception):
    """Why an SAE cannot be read right, as a predicate of that SAE: `holds signed activations; ...`."""


@dataclass(frozen=True)
class Source:
    """The files of one SAE.

    Attributes:
        path: the folder, or the file where a format has a file per SAE.
        trail: the full name, from which some formats' facts are read: `OWNER/REPOSITORY/FOLDER`, or a path.
        overrides: what SAELens's list of releases adds to the configuration.
        input_scale: the factor of the input that stands in that list; None if none does.
        model_name: of that list.
    """

    path: Path
    trail: str
    overrides: dict[str, Any] = field(default_factory=dict)
    input_scale: float | None = None
    model_name: str | None = None

    @property
    def folder(self) -> Path:
        """The folder of the SAE's files."""
        return self.path if self.path.is_dir() else self.path.parent

    def has(self, name: str) -> bool:
        """Whether a file is there, as a whole or in parts."""
        return (self.folder / name).is_file() or (self.folder / f"{name}{INDEX}").is_file()

    def json(self, name: str, kinds: Kinds | None = None) -> dict[str, Any]:
        """The contents of a JSON file; empty if it is not there.

        Raises:
            Unreadable: it holds no object, or one of `kinds` under another kind of value.
        """
        contents = read_json(self.folder / name)
        check_kinds(contents, kinds or {}, name)
        return contents

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file, which stay on disk until they are used."""
        return read_tensors(self.folder / name)


def check_kinds(contents: Mapping[str, Any], kinds: Kinds, file: str) -> None:
    """Raise `Unreadable` for a setting whose value is of another kind than it must be; it may be absent, or None."""
    for name, kind in kinds.items():
        value = contents.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        fits = is_number and (kind is float or isinstance(value, int)) if kind in (int, float) else False
        fits = fits or (kind not in (int, float) and isinstance(value, kind))
        if value is not None and not fits:
            raise Unreadable(f"holds {name}={shown(value)} in its {file}, where {NAMES[kind]} must stand")


def check_weights(name: str, weights: Any) -> None:
    """Raise `Unreadable` for weights that are no tensor of floating-point numbers."""
    if not isinstance(weights, Tensor) or not weights.dtype.is_floating_point:
        kind = str(weights.dtype).removeprefix("torch.") if isinstance(weights, Tensor) else type(weights).__name__
        raise Unreadable(f"has weights {name} of {kind}; weights must be floating-point numbers")


def read_json(path: Path) -> dict[str, Any]:
    """The contents of a JSON file that holds an object; empty if there is no such file."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"holds a {path.name} that is no JSON ({first_line(error)}); download it again") from error
    if not isinstance(contents, dict):
        raise Unreadable(f"holds a {path.name} that is no JSON object; download it again")
    return contents


def read_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a `.safetensors` file or of its parts, of an `.npz` file, or of a file that torch has saved."""
    from safetensors.torch import load_file

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays}
    if path.suffix != ".safetensors":
        with open(path, "rb") as file:
            is_zip = file.read(2) == b"PK"  # older files cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    if path.is_file():
        return load_file(path)
    parts = read_json(path.with_name(f"{path.name}{INDEX}"))["weight_map"].values()
    return {name: each for part in sorted(set(parts)) for name, each in load_file(path.with_name(part)).items()}


def parts_of(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor's rows, some at a time, so that what is made of them stays small."""
    rows = tensor.reshape(1) if tensor.ndim == 0 else tensor
    yield from rows.split(max(1, VALUES_AT_ONCE * len(rows) // max(1, rows.numel())))
