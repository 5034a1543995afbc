"""What a configuration key takes, in words; the schema knows its type."""

from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

_ONE = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
_MANY = {int: "whole numbers", float: "numbers", bool: "true and false", str: "strings"}


def takes(kind: Any) -> str | None:
    """What a key of that type takes: `a whole number, or null`; None for a type that has no words.

    Example:
        >>> takes(float | None)
        'a number, or null'
    """
    alternatives = _alternatives(kind)
    words = [_in_words(each) for each in alternatives if each is not NoneType]
    if None in words:
        return None
    null = ", or null" if NoneType in alternatives else ""
    return f"{' or '.join(word for word in words if word)}{null}"


def is_list(kind: Any) -> bool:
    """Whether a key of that type takes a list."""
    return any(get_origin(each) is list for each in _alternatives(kind))


def is_scalar(kind: Any) -> bool:
    """Whether a key of that type takes one value."""
    return all(each in _ONE or each is NoneType or is_enum(each) for each in _alternatives(kind))


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def is_enum(kind: Any) -> bool:
    """Whether a type is one of named options."""
    return isinstance(kind, type) and issubclass(kind, Enum)


def _in_words(kind: Any) -> str | None:
    if is_enum(kind):
        return f"one of {', '.join(kind.__members__)}"
    if get_origin(kind) is list:
        (each,) = get_args(kind)
        if is_enum(each):
            return f"a list of any of {', '.join(each.__members__)}"
        return f"a list of {_MANY[each]}" if each in _MANY else "a list"
    if get_origin(kind) is dict:
        return "a section: {NAME: VALUE}"
    return _ONE.get(kind)
