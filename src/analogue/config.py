"""What the configurations of both entry points share: the section of a language model, and checks of values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from analogue.errors import UserError

PRECISIONS = ("float32", "bfloat16", "float16", "float64")

Hook = Enum("Hook", {"resid_post": "resid_post", "resid_pre": "resid_pre"})
Redrawn = Enum("Redrawn", {"weights": "weights", "all": "all"})


@dataclass
class ModelConfig:
    """A language model: hub id, local directory or `embedded:` name."""

    name: str = MISSING
    revision: str | None = MISSING
    dtype: str = MISSING
    hook: Hook = MISSING
    randomize: Redrawn | None = MISSING
    randomize_seed: int = MISSING
    device_map: str | None = MISSING


def check_minima(minima: Mapping[str, tuple[float, float]]) -> None:
    """Raise a `UserError` for the first key whose value, the former of the two, is below its minimum, the latter."""
    for key, (value, minimum) in minima.items():
        if value < minimum:
            raise UserError(key, value, f"must be at least {minimum}")


def check_precisions(dtypes: Mapping[str, str]) -> None:
    """Raise a `UserError` for the first key whose value names no precision."""
    for key, dtype in dtypes.items():
        if dtype not in PRECISIONS:
            raise UserError(key, dtype, f"is not a precision; use {', '.join(PRECISIONS)}")
