"""What --help says of every key: its default, and its meaning from docs/configuration.md, which the wheel holds."""

import json
import re
import shutil
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from omegaconf import DictConfig, OmegaConf

from analogue.cli.composition import plain
from analogue.cli.conf import ROOT

MEANINGS = ROOT.parent / "docs" / "configuration.md"  # beside `conf/`, in a checkout and in an installed package
RESOLVER = "analogue_keys"  # of `conf/hydra/help`: ${analogue_keys:compare}
WIDEST = 110


def register_help() -> None:
    """Let the templates of `conf/hydra/help` ask for the keys of a program."""
    OmegaConf.register_new_resolver(
        RESOLVER, lambda program, _root_: keys_text(program, _root_).replace("$", "$$"), replace=True
    )


def keys_text(program: str, cfg: DictConfig) -> str:
    """Every key of a program (`compare`, `train-sae`, `universality`) with its default, and what it means below."""
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    lines = []
    for meaning, keys in groupby(_described(program, cfg), key=lambda each: each[1]):
        lines += [f"{key}={default_of(cfg, key)}" for key, _ in keys]
        lines += textwrap.wrap(_without_markup(meaning), width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def meanings_of(section: str) -> list[tuple[list[str], str]]:
    """The rows of a table of keys: the names of each, in which `*` stands for a part, and what they mean."""
    rows = re.findall(r"^\| (`[^|]*) \| (.*) \|\n", section, flags=re.MULTILINE)
    return [(re.findall(r"`([^`]+)`", names), meaning) for names, meaning in rows]


def is_set(cfg: DictConfig, key: str) -> bool:
    """Whether a configuration has that key."""
    owner, _, name = key.rpartition(".")
    section = OmegaConf.select(cfg, owner) if owner else cfg
    return OmegaConf.is_dict(section) and name in {*section}  # `in section` leaves out what must be given


def default_of(cfg: DictConfig, key: str) -> str:
    """A key's default on one line; a default that depends on the run (`${now:%Y}`) is left unresolved."""
    owner, _, name = key.rpartition(".")
    written = OmegaConf.to_container(OmegaConf.select(cfg, owner) if owner else cfg, resolve=False)[name]  # type: ignore[index, call-overload]
    if isinstance(written, str) and (written == "???" or re.search(r"\$\{(now|hydra):", written)):
        return written
    return as_typed(plain(OmegaConf.create({"value": OmegaConf.select(cfg, key)}), resolve=False)["value"])


def as_typed(value: Any) -> str:
    """A value as the command line takes it; strings in a list that need quotes have them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {as_typed(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(each if _is_word(each) else json.dumps(each) for each in value) + "]"
    return value if isinstance(value, str) and value else json.dumps(value)


def _described(program: str, cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Every key that is set, in the order of the page, with its meaning."""
    _, *parts = re.split(r"^## analogue ([\w-]+)$", MEANINGS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {name: meanings_of(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    of_compare = {name: meaning for names, meaning in sections["compare"] for name in names}
    for names, meaning in sections[program]:
        for name in names:
            for key in _spelled_out(name, cfg):
                above = of_compare.get(key) or of_compare.get(re.sub(r"^model\.", "model_*.", key))
                yield key, above if above is not None and meaning.startswith("as ") else meaning


def _spelled_out(name: str, cfg: DictConfig) -> list[str]:
    """The keys that a name stands for: `model_*.name` for that of each side, `data.*` for all keys of the section."""
    if name.endswith(".*"):
        section = name.removesuffix(".*")
        return [f"{section}.{each}" for each in cfg[section]]
    return [key for key in dict.fromkeys(name.replace("_*", f"_{side}") for side in "ab") if is_set(cfg, key)]


def _without_markup(markdown: str) -> str:
    without_links = re.sub(r" ?\(\[[^\]]*\]\([^)]*\)\)|\[([^\]]*)\]\([^)]*\)", lambda link: link[1] or "", markdown)
    return without_links.replace("`", "")


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w:/-]*", value) is not None
