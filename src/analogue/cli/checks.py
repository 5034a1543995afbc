"""Checks of values that both entry points share."""

from collections.abc import Mapping

from analogue.errors import UserError

PRECISIONS = ("float32", "bfloat16", "float16", "float64")


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
