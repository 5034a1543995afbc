"""Errors that a caller can put right; each names the argument, its value, what is wrong and what would work."""

import os
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf, isfinite
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import FrameType, NoneType
from typing import Any, Self, get_args

from analogue.memory import usable_memory

MOST = 2**53  # of anything that is counted
LARGEST_SEED = 2**63 - 2  # of torch's generators; some draw from the next seed too
LONGEST_SHOWN = 300  # characters of a value in a message


class UserError(Exception):
    """Something that a user can put right; programs print it as one sentence, without a traceback, and exit with 1.

    Attributes:
        argument: the name of the argument, or of the configuration key; `a.layer` is `layer` of the argument `a`.
        value: what was given.
        problem: what is wrong and what would work. Other arguments that it mentions stand in backticks: `seq_len`.
    """

    def __init__(self, argument: str, value: object, problem: str) -> None:
        given = str(value)
        given = given if len(given) <= LONGEST_SHOWN else f"{given[:60]}...{given[-20:]}"
        super().__init__(f"{argument}={given}: {problem}".encode(errors="backslashreplace").decode())
        self.argument = argument
        self.value = value
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:  # a launcher's other processes send their errors
        return type(self), (self.argument, self.value, self.problem)


class ArgumentError(UserError):
    """An argument that cannot work. The subclasses are ordinary `ValueError`s, `LookupError`s and `OSError`s."""

    def renamed(self, names: dict[str, str]) -> Self:
        """The same error under other names of its arguments; names that are not in the table stay."""
        problem = re.sub(r"`([\w.]+)`", lambda found: f"`{names.get(found[1], found[1])}`", self.problem)
        return type(self)(names.get(self.argument, self.argument), self.value, problem)


class InvalidArgument(ArgumentError, ValueError):
    """A value that cannot work."""


class NotFound(ArgumentError, LookupError):
    """A name that belongs to nothing: no such model, SAE, file, column or release."""


class Unavailable(ArgumentError, OSError):
    """A file, download or disk that fails."""


class AnalogueWarning(UserWarning):
    """Something that a user should know of a computation that goes on."""


def warn(message: str) -> None:
    """Warn with an `AnalogueWarning`, at the line that called this package, however deep in it the reason lies."""
    frame: FrameType | None = sys._getframe(1)
    n_frames = n_inside = 0
    while frame is not None:
        n_frames += 1
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        decorates = package == "contextlib" and n_inside == n_frames - 1
        if package == __package__ or decorates:
            n_inside = n_frames
        frame = frame.f_back
    warnings.warn(message, AnalogueWarning, stacklevel=n_inside + 2)


@contextmanager
def renamed_arguments(**names: str) -> Iterator[None]:
    """Let errors name the caller's own arguments.

    Example:
        >>> with renamed_arguments(path="a.sae"):
        ...     pass
    """
    try:
        yield
    except ArgumentError as error:
        raise error.renamed(names) from (error.__cause__ or error)


def check_minima(minima: Mapping[str, tuple[object, int]]) -> None:
    """Raise for the first argument whose value, the former of the two, is no whole number of at least the latter.

    No count is above `MOST`.
    """
    for argument, (value, minimum) in minima.items():
        number = whole_number(argument, value)
        if number < minimum:
            raise InvalidArgument(argument, value, f"must be at least {minimum}")
        if number > MOST:
            raise InvalidArgument(argument, value, f"must be at most {MOST}")


def check_seed(argument: str, value: object) -> None:
    """Raise unless the value is a seed: a whole number of at least 0 that a generator takes as it is."""
    if not 0 <= whole_number(argument, value) <= LARGEST_SEED:
        raise InvalidArgument(argument, value, f"must be at least 0 and at most {LARGEST_SEED}")


def check_each_once(argument: str, values: Collection[object]) -> None:
    """Raise if a value stands in a list twice."""
    listed = [str(value) for value in values]
    twice = next((value for value in listed if listed.count(value) > 1), None)
    if twice is not None:
        raise InvalidArgument(argument, f"[{', '.join(listed)}]", f"names {twice} twice; name it once")


def check_memory(argument: str, value: object, n_bytes: float, advice: str = "choose less") -> None:
    """Raise if what is asked for takes more memory than there is; see `analogue.memory.usable_memory`."""
    there = usable_memory()
    if n_bytes > there:
        problem = f"needs about {n_bytes / 1e9:,.0f} GB of memory, and this process may use {there / 1e9:,.0f} GB"
        raise InvalidArgument(argument, value, f"{problem}; {advice}")


def check_path(argument: str, path: object) -> None:
    """Raise `Unavailable` for a path that no file can have, or that cannot be looked at; not whether it is there."""
    if not isinstance(path, str | PathLike):
        raise InvalidArgument(argument, shown(path), "must be a path")
    try:
        os.stat(str(path))
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unavailable(argument, path, f"is no path that can be opened ({reason})") from error


def check_folder(argument: str, path: str | PathLike[str]) -> None:
    """Raise `Unavailable` unless files can be written into that folder, which need not be there yet."""
    check_path(argument, path)
    folder = Path(path).absolute()
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    reason = None if there.is_dir() else f"{there} is no folder"
    if reason is None and not os.access(there, os.W_OK | os.X_OK):
        reason = f"Permission denied: {there}"
    if reason is not None:
        raise Unavailable(argument, path, f"cannot be written to ({reason}); choose another directory")


def whole_number(argument: str, value: object) -> int:
    """The value, if it is a whole number; raise otherwise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidArgument(argument, shown(value), "must be a whole number")
    return int(value)


def check_between(argument: str, value: object, lowest: float, highest: float) -> None:
    """Raise unless the value is a number of at least `lowest` and at most `highest`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidArgument(argument, shown(value), "must be a number")
    if not (lowest <= float(value) <= highest and isfinite(value)):
        limits = f"be at least {lowest:g}, and finite" if highest == inf else f"lie between {lowest:g} and {highest:g}"
        raise InvalidArgument(argument, value, f"must {limits}")


def check_list(argument: str, values: object, such_as: str) -> None:
    """Raise unless the value is a list or the like; a string is none."""
    if isinstance(values, str) or not isinstance(values, Collection):
        raise InvalidArgument(argument, shown(values), f"must be a list, such as {such_as}")


def check_strings(argument: str, values: object) -> None:
    """Raise unless the value is a collection of strings; a string alone is none."""
    if isinstance(values, str) or not isinstance(values, Collection) or not all(isinstance(v, str) for v in values):
        raise InvalidArgument(argument, shown(values), "must be a list of strings")


def check_flag(argument: str, value: object) -> None:
    """Raise unless the value is True or False."""
    if not isinstance(value, bool):
        raise InvalidArgument(argument, shown(value), "must be True or False")


def check_kind(argument: str, value: object, kind: Any, example: str = "") -> None:
    """Raise unless the value is an object of that class, or of that union of a class and None."""
    if not isinstance(value, kind):
        (name,) = (each.__name__ for each in get_args(kind) or (kind,) if each is not NoneType)
        such = f", such as analogue.{name}({example})" if example else ""
        raise InvalidArgument(argument, shown(value), f"must be a{'n' if name[0] in 'AEIOU' else ''} {name}{such}")


def shown(value: object) -> str:
    """A value as a message shows it: strings in quotes, where a number or a list was expected; nothing long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"<{type(value).__name__}>"


def check_option(
    argument: str, value: str, options: Iterable[str], problem: str = "is not an option; choose from {}"
) -> None:
    """Raise unless the value is a member of a `StrEnum`."""
    if value not in [*options]:
        given = value if isinstance(value, str) else shown(value)
        raise InvalidArgument(argument, given, problem.format(", ".join(options)))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; its type if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
