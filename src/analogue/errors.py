"""Errors that a caller can put right; each names the argument, its value, what is wrong and what would work."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self


class ArgumentError(Exception):
    """An argument that cannot work. The subclasses are ordinary `ValueError`s, `LookupError`s and `OSError`s.

    Attributes:
        argument: the name of the argument; `a.layer` is `layer` of the argument `a`.
        value: what was given.
        problem: what is wrong and what would work. Other arguments that it mentions stand in backticks: `seq_len`.
    """

    def __init__(self, argument: str, value: object, problem: str) -> None:
        super().__init__(f"{argument}={value}: {problem}")
        self.argument = argument
        self.value = value
        self.problem = problem

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


@contextmanager
def renamed_arguments(**names: str) -> Iterator[None]:
    """Let errors name the caller's own arguments: `with renamed_arguments(path="a.sae"): load(path)`."""
    try:
        yield
    except ArgumentError as error:
        raise error.renamed(names) from (error.__cause__ or error)


def check_minima(minima: Mapping[str, tuple[float, float]]) -> None:
    """Raise for the first argument whose value, the former of the two, is below its minimum, the latter."""
    for argument, (value, minimum) in minima.items():
        if value < minimum:
            raise InvalidArgument(argument, value, f"must be at least {minimum}")


def check_option(
    argument: str, value: str, options: Iterable[str], problem: str = "is not an option; choose from {}"
) -> None:
    """Raise unless the value is a member of a `StrEnum`."""
    if value not in [*options]:
        raise InvalidArgument(argument, value, problem.format(", ".join(options)))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; its type if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
