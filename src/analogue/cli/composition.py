"""Configurations that Hydra composes: as the objects of their schema, or why they are none, in one sentence."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from traceback import walk_tb
from typing import Any, TypeVar

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from analogue.errors import UserError, first_line

T = TypeVar("T")

# Lines for those who debug Hydra.
_NOT_FOR_USERS = re.compile(r"full_key:|object_type=|reference_type=|Config search path:|provider=|See https://")
_NO_SUCH_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")


def typed(cfg: DictConfig, schema: type[T]) -> T:
    """A configuration of that schema as its objects.

    Raises:
        UserError: naming the first key that has no value, or that the schema does not know (`+layr_a=5`).
    """
    known = set(keys_of(schema))
    for key in _keys_in(cfg, known):
        if key not in known:
            raise UserError(
                f"+{key}", OmegaConf.select(cfg, key), f"is no key, and would change nothing{_meant(key, known)}"
            )
    try:
        return OmegaConf.to_object(cfg)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        raise UserError(str(error.full_key), "???", "has no value; give one on the command line") from error


def keys_of(schema: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of a schema and of those within it."""
    for field in fields(schema):
        yield f"{prefix}{field.name}"
        if is_dataclass(field.type):
            yield from keys_of(field.type, f"{prefix}{field.name}.")


def composition_error(error: Exception, schema: type) -> str | None:
    """What a user can change about a command line that Hydra refuses; None for an error of another kind."""
    if isinstance(error, OSError) and error.filename and _raised_in(error) == "mkdir":
        return f"{error.filename!s} cannot be made ({error.strerror}); choose another hydra.run.dir or sweep.dir"
    if isinstance(error, ValueError) and "Config group override" in str(error):
        return "a config group cannot be null; choose one of its options, which --help lists"
    if isinstance(error, AssertionError) and _raised_in(error) == "_resolve_interpolation_impl":
        return "sweep=paper goes over the paper's layers for a preset; choose it by experiment, which --help lists"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read ({first_line(error)}); quote what holds brackets, braces or commas"
    told = [str(error), str(error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else ""]
    no_such_key = _NO_SUCH_KEY.match(told[0])
    if no_such_key:
        return f"{no_such_key['key']} is not a key{_meant(no_such_key['key'], keys_of(schema))}"
    lines = [line.strip() for line in "\n".join(told).splitlines()]
    lines = [line for line in lines if line and not _NOT_FOR_USERS.match(line)]
    return _listed("; ".join(dict.fromkeys(lines)))


def _keys_in(cfg: DictConfig, known: set[str], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a configuration, as deep as the schema goes."""
    for name in cfg:
        key = f"{prefix}{name!s}"
        yield key
        if any(each.startswith(f"{key}.") for each in known):
            yield from _keys_in(cfg[name], known, f"{key}.")


def _meant(key: str, known: Iterable[str]) -> str:
    close = get_close_matches(key, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; --help lists them all"


def _listed(sentence: str) -> str:
    """Options that stood on a line each, as a list."""
    start, heading, options = sentence.partition("Available options in ")
    _, colon, names = options.partition(":; ")
    return f"{start}choose from {names.replace('; ', ', ')}" if heading and colon else sentence


def _raised_in(error: Exception) -> str:
    """The name of the function; empty for an exception that nothing has raised."""
    functions = [frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)]
    return functions[-1] if functions else ""
