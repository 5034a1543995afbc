"""The arguments of a command line before Hydra reads them: which are its options, and which a user has mistyped."""

import re
from argparse import ArgumentParser
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import NoReturn

from hydra.main import get_args_parser

MULTIRUN = ("-m", "--multirun")


def options_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with `-m` before the settings: argparse cannot read settings on both sides of an option."""
    multirun = [each for each in arguments if each in MULTIRUN]
    return [*multirun[:1], *(each for each in arguments if each not in MULTIRUN)]


def misread_option(arguments: Sequence[str], known: Collection[str], flags: Collection[str]) -> str | None:
    """Why Hydra's options cannot be read, in one sentence; None if they can.

    Args:
        arguments: of the command line.
        known: the configuration keys, and the groups of options.
        flags: those that are true or false.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print its usage and exit with code 2
    try:
        _, unread = parser.parse_known_args(list(arguments))
    except _RefusedError as error:
        return str(error)
    if not unread:
        return None
    option = next((each for each in unread if each.startswith("-")), None)
    if option is None:
        return f"{unread[0]}: stands after an option; options stand before all settings"
    return _mistaken_for_option(option, arguments, known, flags, parser)


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant, first of all one that differs in upper and lower case alone; None for none."""
    names = [*known]
    close = [each for each in names if each.lower() == name.lower()] or get_close_matches(name, names, n=1)
    return close[0] if close else None


def without_equals(name: str, arguments: Sequence[str], known: Iterable[str]) -> str:
    """What to write instead of an argument that is not of the form `KEY=VALUE`, such as `layer_a 3`."""
    place = list(arguments).index(name) if name in arguments else len(arguments)
    before = arguments[place - 1] if 0 < place < len(arguments) else ""
    if re.fullmatch(r"[\w.@/+]+=", before):
        return f"{before} {name}: a setting holds no space; write {before}{name}"
    close = closest(name, known)
    if close is None:
        return f"{name}: is no setting, which is KEY=VALUE; --help lists the keys"
    value = _value_after(arguments, place) or "VALUE"
    advice = f"write {name}={value}" if close == name else f"did you mean {close}={value}?"
    return f"{name}: a setting is KEY=VALUE; {advice}"


class _RefusedError(Exception):
    """argparse's own sentence."""


def _refuse(message: str) -> NoReturn:
    raise _RefusedError(message)


def _mistaken_for_option(
    option: str, arguments: Sequence[str], known: Collection[str], flags: Collection[str], parser: ArgumentParser
) -> str:
    typed, equals, value = option.partition("=")
    options = [each for action in parser._actions for each in action.option_strings if each.startswith("--")]
    if not equals and (alike := get_close_matches(typed, options, n=1, cutoff=0.8)):
        return f"{option}: is no option; did you mean {alike[0]}?"
    bare = typed.lstrip("-")
    key = next((each for each in (bare, bare.replace("-", "_")) if each in known), None)
    close = key or closest(bare.replace("-", "_"), known)
    given = option
    if not equals:
        value = _value_after(arguments, list(arguments).index(option)) or ""
        given = f"{option} {value}".rstrip()
        value = value or ("true" if close in flags else "VALUE")
    if close is None:
        return f"{given}: is no option; keys are written without dashes, KEY=VALUE, and --help lists them"
    advice = f"write {key}={value}" if key else f"did you mean {close}={value}?"
    return f"{given}: keys are written without dashes; {advice}"


def _value_after(arguments: Sequence[str], place: int) -> str | None:
    """The value that was probably meant for the key at that place: `3` in `layer_a 3` and in `layer_a = 3`."""
    rest = [each for each in arguments[place + 1 : place + 3] if each != "="]
    value = rest[0] if rest else None
    if value is None or "=" in value or (value.startswith("-") and not re.match(r"-[\d.]", value)):
        return None
    return value
