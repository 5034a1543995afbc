"""Tables of configuration keys: types from the schema, defaults from `conf/`, ranges from the programs' own checks."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, OmegaConf

from analogue.cli import compare, train_sae, universality
from analogue.cli.composition import keys_of, typed, types_of
from analogue.cli.conf import COMPARE, ROOT, TRAIN_SAE, UNIVERSALITY, Program
from analogue.cli.help import as_typed, default_of, is_set, meanings_of
from analogue.cli.kinds import is_enum
from analogue.errors import LARGEST_SEED, UserError
from analogue.options import Precision
from analogue.training.settings import Checkpoints

COLUMNS = "| key | meaning | type | default | range |\n| --- | --- | --- | --- | --- |\n"
TOO_LOW = -(10**9)
NAMES = {str: "string", int: "whole number", float: "number", bool: "true or false", Any: "any"}
PRECISIONS = ("model.dtype", "model_a.dtype", "model_b.dtype", "sae_a.dtype", "sae_b.dtype")


@dataclass(frozen=True)
class Described:
    """A program whose keys are described, and the function that refuses values out of range."""

    program: Program
    check: Callable[[Any], object]


def _check_training(config: Any) -> None:
    train_sae.plan_of(config)
    Checkpoints("checkpoints", **vars(config.checkpoints))


PROGRAMS = {
    "analogue compare": Described(COMPARE, compare.light_arguments),
    "analogue train-sae": Described(TRAIN_SAE, _check_training),
    "analogue universality": Described(UNIVERSALITY, universality.light_arguments),
}


def with_tables(markdown: str) -> str:
    """The page of keys with type, default and range beside each meaning."""
    parts = re.split(r"^(## analogue [\w-]+)$", markdown, flags=re.MULTILINE)
    for number in range(1, len(parts), 2):
        described = PROGRAMS[parts[number].removeprefix("## ")]
        parts[number + 1] = _with_table(parts[number + 1], described)
    return "".join(parts)


def option_tables() -> str:
    """Every option of every group, and the keys that it sets; options that programs share stand once."""
    found = []
    shown: dict[Path, str] = {}
    for name, described in PROGRAMS.items():
        found.append(f"\n## {name}\n")
        for folder, groups in _groups_by_folder(described.program).items():
            heading = f"\n### {', '.join(groups)}\n\n"
            if folder in shown:
                found.append(f"{heading}The options of `{shown[folder]}` of `analogue compare`.\n")
                continue
            shown[folder] = groups[0]
            rows = "".join(_option_row(file) for file in sorted(folder.glob("*.yaml")))
            found.append(f"{heading}| option | sets |\n| --- | --- |\n{rows}")
    return "".join(found)


def range_of(described: Described, config: Any, key: str) -> str:
    """What a key may be: its options, or what the program answers to a number that is out of range."""
    kind = types_of(described.program.schema)[key]
    members = [option for part in (kind, *get_args(kind)) if is_enum(part) for option in part]
    if key in PRECISIONS:
        members = [*Precision]
    if members:
        return ", ".join(f"`{member.value}`" for member in members)
    numbers = {int, float} & {kind, *get_args(kind)}
    if not numbers:
        return ""
    changed = deepcopy(config)
    owner, _, name = key.rpartition(".")
    section = changed
    for part in filter(None, owner.split(".")):
        section = getattr(section, part)
    setattr(section, name, [TOO_LOW] if get_origin(kind) is list else TOO_LOW)
    try:
        described.check(changed)
    except UserError as error:
        found = re.match(r"must (?:be |lie )?(.*)", error.problem)
        return found[1].replace(str(LARGEST_SEED), "2^63 - 2") if found else ""
    return ""


def _with_table(section: str, described: Described) -> str:
    program = described.program
    cfg = program.compose()
    config = typed(program.compose("output_dir=out", "logger=none"), program.schema)
    known = {*keys_of(program.schema)}
    table = "".join(_row(names, meaning, described, cfg, config, known) for names, meaning in meanings_of(section))
    heading = r"^\| key \| meaning \|\n\| --- \| --- \|\n(?:\|.*\n)+"
    return re.sub(heading, lambda _: COLUMNS + table, section, flags=re.MULTILINE)


def _row(names: list[str], meaning: str, described: Described, cfg: DictConfig, config: Any, known: set[str]) -> str:
    types = types_of(described.program.schema)
    columns: list[list[str]] = [[], [], []]
    for name in names:
        keys = [key for key in dict.fromkeys(name.replace("_*", f"_{side}") for side in "ab") if is_set(cfg, key)]
        typed_key = next((key for key in keys if key in known), None)
        columns[0].append(_in_words(types[typed_key]) if typed_key else "")
        columns[1].append(", ".join(dict.fromkeys(_code(default_of(cfg, key)) for key in keys)))
        columns[2].append(range_of(described, config, typed_key) if typed_key else "")
    merged = ["<br>".join(column) if any(column) else "" for column in columns]
    return f"| {'<br>'.join(f'`{name}`' for name in names)} | {meaning} | {' | '.join(merged)} |\n"


def _groups_by_folder(program: Program) -> dict[Path, list[str]]:
    """The folders of options, each with the groups that choose from it."""
    own = {folder.name: folder for folder in program.directory.iterdir() if folder.is_dir()}
    folders = {group: folder for group, folder in own.items() if group not in (*program.hidden, "hydra")}
    folders |= {group: ROOT / folder for group, folder in program.shared.items() if "/" not in group}
    found: dict[Path, list[str]] = {}
    for group, folder in sorted(folders.items()):
        found.setdefault(folder, []).append(group)
    return found


def _code(text: str) -> str:
    short = text if len(text) <= 70 else f"{text[:60]}…"
    return f"`` {short} ``" if "`" in short else f"`{short}`"


def _in_words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is list:
        return "list" if parts[0] is Any else f"list of {_in_words(parts[0])}s"
    if get_origin(kind) is dict or hasattr(kind, "__dataclass_fields__"):
        return "mapping"
    if NoneType in parts:
        return " or ".join([*(_in_words(part) for part in parts if part is not NoneType), "null"])
    if parts:
        return " or ".join(map(_in_words, parts))
    return NAMES.get(kind) or "name"


def _option_row(file: Path) -> str:
    settings: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False) or {}
    defaults = settings.pop("defaults", [])
    chosen = {
        re.sub(r"^override |/", "", str(group)): option
        for entry in defaults
        if isinstance(entry, dict)
        for group, option in entry.items()
    }
    shown = [f"what `{entry}` sets, and" for entry in defaults if isinstance(entry, str) and entry != "_self_"]
    shown += [_code(f"{key}={as_typed(value)}") for key, value in (chosen | dict(_leaves(settings))).items()]
    return f"| `{file.stem}` | {'<br>'.join(shown) or 'nothing'} |\n"


def _leaves(settings: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value and "_target_" not in value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
