"""Checks of values that both entry points share, and configuration keys for the arguments that errors name."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from analogue.errors import ArgumentError, UserError

PRECISIONS = ("float32", "bfloat16", "float16", "float64")
KEYS = {  # of arguments that mean the same in both entry points
    name: f"data.{name}" for name in ("path", "column", "subset", "split", "shuffle_seed", "seq_len", "exclude_bos")
}


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


def named_by_keys(sentence: str, **keys: str) -> str:
    """A sentence in which configuration keys stand for the arguments that it has in backticks."""
    return re.sub(r"`([\w.]+)`", lambda found: (KEYS | keys).get(found[1], found[1]), sentence)


@contextmanager
def user_errors(**keys: str) -> Iterator[None]:
    """Turn errors that name arguments into `UserError`s that name configuration keys.

    Args:
        keys: the key of each argument that is not in `KEYS`, as in `user_errors(model="model_a.name")`.
    """
    try:
        yield
    except ArgumentError as error:
        key = (KEYS | keys).get(error.argument, error.argument)
        raise UserError(key, error.value, named_by_keys(error.problem, **keys)) from (error.__cause__ or error)
