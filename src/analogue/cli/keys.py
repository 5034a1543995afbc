"""Configuration keys: what they are called in the library, and the errors that name them."""

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from analogue.errors import AnalogueWarning, ArgumentError, UserError

_MODEL = ("revision", "dtype", "hook", "randomize", "randomize_seed", "device_map", "gguf_file")
_DATA = ("subset", "split", "column", "shuffle_seed", "n_sequences", "seq_len", "batch_size", "packing")
_COUNTED = ("chat", "exclude_bos", "exclude_special", "exclude_outliers")
COMPARE_KEYS: dict[str, str] = {
    **{f"{side}.{name}": f"model_{side}.{name}" for side in "ab" for name in _MODEL},
    **{f"{side}.model": f"model_{side}.name" for side in "ab"},
    **{f"{side}.layer": f"layer_{side}" for side in "ab"},
    **{f"{side}.sae": f"sae_{side}.path" for side in "ab"},
    **{f"{side}.sae_dtype": f"sae_{side}.dtype" for side in "ab"},
    **{f"{side}.before_topk": f"sae_{side}.before_topk" for side in "ab"},
    **{name: f"data.{name}" for name in (*_DATA, "count_padding", *_COUNTED)},
    "corpus": "data.path",
    "aggregation": "alignment.aggregation",
    "matching.settings": "matching.function",
    "top_tokens": "filters.top_tokens",
    "null": "null.n",
    "concepts": "concepts.n",
    "directory": "output_dir",
    **{
        name: name
        for name in (
            "alignment",
            "cache",
            "cache.dir",
            "consistency_threshold",
            "explore",
            "filters.one_to_one",
            "filters.maximum_q_value",
            "metrics",
            "metrics_on",
            "seed",
            "transfer",
            "transfer.fit_sequences",
            "transfer.path",
        )
    },
}
"""By the names of the arguments of `analogue.compare`."""
UNIVERSALITY_KEYS: dict[str, str] = {
    **{name: f"data.{name}" for name in (*_DATA, "count_padding", *_COUNTED)},
    "corpus": "data.path",
    "aggregation": "alignment.aggregation",
    "directory": "output_dir",
    "names": "spaces",
    **{name: name for name in ("alignment", "cache", "cache.dir", "metrics", "seed", "spaces")},
}
"""By the names of the arguments of `analogue.universality`; those of a space are keys already."""


def with_keys(text: str, keys: Mapping[str, str]) -> str:
    """A sentence of the library with its arguments, which stand in backticks, under their configuration keys."""
    return re.sub(r"`([\w.]+)`", lambda found: keys.get(found[1], found[1]), text)


@contextmanager
def naming_keys(keys: Mapping[str, str]) -> Iterator[None]:
    """Let errors and warnings of the library name configuration keys; a warning is a line on the terminal.

    Raises:
        UserError: in place of an `ArgumentError`.
    """

    def show(message: Warning | str, category: type[Warning], *where: Any, **named: Any) -> None:
        if issubclass(category, AnalogueWarning):
            print(f"warning: {with_keys(str(message), keys)}", file=sys.stderr)
        else:
            show_other(message, category, *where, **named)

    with warnings.catch_warnings():
        show_other, warnings.showwarning = warnings.showwarning, show
        warnings.simplefilter("always", AnalogueWarning)
        try:
            yield
        except ArgumentError as error:
            key = keys.get(error.argument) or _key_of_setting(error.argument, keys)
            raise UserError(key, error.value, with_keys(error.problem, keys)) from error


@contextmanager
def section(name: str, keys: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let errors of an object that is made from a section of the configuration name its keys: `null` and `n`."""
    try:
        yield
    except ArgumentError as error:
        key = (keys or {}).get(error.argument, f"{name}.{error.argument}")
        raise UserError(key, error.value, error.problem) from error


def _key_of_setting(argument: str, keys: Mapping[str, str]) -> str:
    """The key of an argument such as `matching.settings.k`, for which the table holds `matching.settings`."""
    owner, _, name = argument.rpartition(".")
    return f"{keys[owner]}.{name}" if owner in keys else argument
