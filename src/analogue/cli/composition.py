"""Turns configurations that Hydra composes into the objects of their schema, or says in one sentence why it cannot."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from typing import Any, TypeVar, get_args

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from analogue.cli.arguments import closest, without_equals
from analogue.cli.conf import Program
from analogue.cli.kinds import is_list, is_scalar, takes
from analogue.errors import UserError, first_line

T = TypeVar("T")

# Lines for those who debug Hydra.
_NOT_FOR_USERS = re.compile(r"full_key:|object_type=|reference_type=|Config search path:|provider=|See https://")
_LAUNCHERS = {
    "joblib": "pip install 'analogue[launchers]'",
    "submitit": "pip install 'analogue[launchers]'",
    "ray": "pip install ray, and pip install --no-deps hydra-ray-launcher",
}
_MERGING = re.compile(r"Error merging override (?P<override>.*)")
_SWEEP = re.compile(r"(?:Ambiguous value for argument|Sweep parameters) '(?P<override>.*)'(?: requires --multirun)?$")
_NO_SUCH_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")


def typed(cfg: DictConfig, schema: type[T]) -> T:
    """A configuration of that schema as its objects.

    Raises:
        UserError: naming the first key that has no value, or that the schema does not know (`+layr_a=5`).
    """
    known = set(keys_of(schema))
    for key in keys_of(schema):
        if _is_absent(cfg, key):
            raise UserError(key, "???", "has no value; give one on the command line")
    for key in _keys_in(cfg, known):
        if key not in known:
            problem = f"is not a configuration key{_did_you_mean(key, known)}"
            raise UserError(f"+{key}", OmegaConf.select(cfg, key), problem)
    try:
        return OmegaConf.to_object(cfg)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        raise UserError(str(error.full_key), "???", "has no value; give one on the command line") from error
    except OmegaConfBaseException as error:  # an interpolation that leads nowhere
        raise UserError(
            str(error.full_key), _as_written(cfg, error), f"cannot be read ({first_line(error)})"
        ) from error


def plain(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """A configuration as plain values, with its references resolved or as they are spelled."""
    return OmegaConf.to_container(cfg, resolve=resolve, enum_to_str=True)  # type: ignore[return-value]


def chosen_options() -> dict[str, str]:
    """The option that the command line chose for each of our groups; empty for a configuration composed otherwise."""
    if not HydraConfig.initialized():
        return {}
    choices = HydraConfig.get().runtime.choices
    return {group: name for group, name in choices.items() if name is not None and not group.startswith("hydra/")}


def instantiated(settings: Any, key: str, given: object = None) -> Any:
    """The object that a section with `_target_` describes.

    Args:
        key: of the section, for errors.
        given: the value that errors name; None for the section.

    Raises:
        UserError: it cannot be made.
    """
    from hydra.utils import instantiate

    lookups = logging.getLogger("hydra.utils")
    was_disabled, lookups.disabled = lookups.disabled, True  # get_method logs what it raises
    try:
        return instantiate(settings)
    except Exception as error:  # whatever a user's own class or function comes up with
        own = own_error(error)
        hint = "; a module of the current folder is found with PYTHONPATH=." if _is_no_module(own) else ""
        raise UserError(key, given or settings, f"cannot be made ({first_line(own)}){hint}") from error
    finally:
        lookups.disabled = was_disabled


def own_error(error: BaseException) -> BaseException:
    """What a class or function, or its import, has raised, behind the exceptions that Hydra makes of it."""
    while error.__cause__ is not None and (isinstance(error, InstantiationException) or _is_lookup(error)):
        error = error.__cause__
    return error


def _is_lookup(error: BaseException) -> bool:
    """Whether an error is Hydra's, of a dotted name that leads nowhere."""
    return isinstance(error, ImportError) and str(error).startswith("Error loading '")


def _is_no_module(error: BaseException) -> bool:
    """Whether a missing module could be a file of the user's; `analogue.nothing`, with its dot, could not."""
    return isinstance(error, ModuleNotFoundError) and error.name is not None and "." not in error.name


def keys_of(schema: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of a schema and of those within it."""
    for field in fields(schema):
        yield f"{prefix}{field.name}"
        if is_dataclass(field.type):
            yield from keys_of(field.type, f"{prefix}{field.name}.")


def types_of(schema: type) -> dict[str, Any]:
    """The type of each key of a schema."""
    return {key: _type_of(schema, key) for key in keys_of(schema)}


def listed_values(arguments: Sequence[str], schema: type) -> list[str]:
    """Let `metrics=svcca` mean `metrics=[svcca]`, for every key whose value is a list; in a sweep, for each value."""
    types = types_of(schema)
    of_lists = {key for key, kind in types.items() if kind == dict[str, list[str]]}  # concepts.keywords.Weather

    def takes_list(key: str) -> bool:
        return is_list(types.get(key)) or key.rpartition(".")[0] in of_lists

    return [
        _listed_value(argument) if takes_list(argument.partition("=")[0].lstrip("+")) else argument
        for argument in arguments
    ]


def empty_sweep(arguments: Sequence[str]) -> str | None:
    """The first argument that sweeps over no value, such as `layer_a=range(3,3)`; None if there is none."""
    for argument in arguments:
        try:
            override = OverridesParser.create().parse_override(argument)
        except HydraException:  # an option, or what Hydra says itself
            continue
        if override.is_discrete_sweep() and not [*override.sweep_string_iterator()]:
            return argument
    return None


def composition_error(error: Exception, program: Program, overrides: Sequence[str]) -> str | None:
    """What a user can change about a command line that Hydra refuses; None for an error of another kind."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename!s} cannot be made ({error.strerror}); choose another hydra.run.dir or sweep.dir"
    if isinstance(error, ValueError) and "Config group override" in str(error):
        group = next((each for each in overrides if re.fullmatch(r"[\w/@]+=null", each)), "the option of a group")
        return f"{group}: names no option of a config group; choose one of those that --help lists"
    if isinstance(error, AssertionError) and any(each.startswith("sweep=") for each in overrides):
        return "sweep=paper goes over the paper's layers for a preset; choose it by experiment, which --help lists"
    if isinstance(error, MissingConfigException) and (missing := _missing_option(error, overrides)):
        return missing
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        if not equals and not key.startswith("~"):
            return without_equals(key, overrides, known_keys(program))
        fix = f"; a value that is no list stands in quotes: '{key}=\"{value}\"'" if value else ""
        return f"{error.override} cannot be read ({first_line(error)}){fix}"
    line = first_line(error)
    if (merging := _MERGING.match(line)) and isinstance(error.__cause__, OmegaConfBaseException):
        return _unfit_value(merging["override"], error.__cause__, types_of(program.schema))
    if sweep := _SWEEP.match(line):
        return _needs_multirun(sweep["override"], types_of(program.schema))
    lines = [str(error), str(error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else ""]
    no_such_key = _NO_SUCH_KEY.match(lines[0])
    if no_such_key:
        return f"{no_such_key['key']} is not a key{_did_you_mean(no_such_key['key'], known_keys(program))}"
    lines = [line.strip() for line in "\n".join(lines).splitlines()]
    lines = [line for line in lines if line and not _NOT_FOR_USERS.match(line)]
    return _listed_options("; ".join(dict.fromkeys(lines)))


def known_keys(program: Program) -> set[str]:
    """The keys that a program's command line may set, with those that its schema leaves open."""
    return {*keys_of(program.schema), *_all_keys(program.compose())}


def flags_of(schema: type) -> set[str]:
    """The keys that are true or false."""
    return {key for key, kind in types_of(schema).items() if kind is bool}


def _unfit_value(override: str, cause: OmegaConfBaseException, types: dict[str, Any]) -> str:
    """Why a key does not take a value."""
    key = override.partition("=")[0].lstrip("+")
    named = "" if key in types else f"{cause.full_key} "  # layer_a.x=3 is about layer_a
    kind = types.get(key if key in types else str(cause.full_key))
    words = takes(kind)
    if not isinstance(cause, ValidationError) or words is None:
        return f"{override}: {first_line(cause)}"
    value = override.partition("=")[2].strip()
    values = re.fullmatch(r"""\[([^\[\]{}()"']+)\]""", value)
    each = f"; -m {key}={re.sub(r' *, *', ',', values[1])} runs a job for each" if values and is_scalar(kind) else ""
    return f"{override}: {named}takes {words}{each}"


def _needs_multirun(override: str, types: dict[str, Any]) -> str:
    """What to do about several values without -m."""
    key, _, values = override.partition("=")
    if key.startswith(("hydra.", "hydra/")):
        return f"{override}: takes one value; Hydra's own settings are the same for all jobs"
    kind = types.get(key.lstrip("+"))
    choice = not re.match(r"\w+\(", values)
    if is_list(kind) and choice:
        if re.fullmatch(r"\[[^\[\],]*\](,\[[^\[\],]*\])*", values):  # as `listed_values` has them
            values = values.replace("[", "").replace("]", "")
            return f"{key}={values}: add -m to run a job for each, or write {key}=[{values}] for one job with all"
    elif str in (kind, *get_args(kind)) and choice:
        quoted = f"""'{key}="{values}"'"""
        return f"{override}: add -m to run a job for each; one value with a comma stands in quotes: {quoted}"
    return f"{override}: add -m to run a job for each"


def _missing_option(error: MissingConfigException, overrides: Sequence[str]) -> str | None:
    """The options that a group has, for an argument that names another one; None if no argument names the group."""
    if launcher := _missing_launcher(overrides):
        return launcher
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    chosen = {each.partition("=")[0].lstrip("+").partition("@")[0] for each in overrides}
    if group not in chosen or not error.options:
        return None
    close = closest(option, error.options)
    hint = f"did you mean {close}? " if close else ""
    return f"{group}={option}: is no option of this group; {hint}choose from {', '.join(error.options)}"


def _missing_launcher(overrides: Sequence[str]) -> str | None:
    """What to install for the launcher of a command line, if its plugin is missing."""
    chosen = next((each for each in overrides if each.startswith("hydra/launcher=")), "")
    name = chosen.partition("=")[2]
    plugin = "submitit" if name == "slurm" else name.partition("_")[0]
    if plugin not in _LAUNCHERS:
        return None
    try:
        if find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is not None:
            return None
    except ModuleNotFoundError:  # Hydra has no plugin at all
        pass
    return f"{chosen}: needs the package hydra-{plugin}-launcher; install it ({_LAUNCHERS[plugin]})"


def can_be_read(argument: str) -> bool:
    """Whether Hydra's grammar knows what an argument of the command line means."""
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def _is_absent(cfg: DictConfig, key: str) -> bool:
    """Whether a key, or the section that it stands in, was removed (`~layer_a`)."""
    section, _, name = key.rpartition(".")
    try:
        owner = OmegaConf.select(cfg, section) if section else cfg
        return OmegaConf.is_dict(owner) and (name not in list(owner) or OmegaConf.is_missing(owner, name))
    except OmegaConfBaseException:  # a reference to nothing, or no value
        return False


def _as_written(cfg: DictConfig, error: OmegaConfBaseException) -> Any:
    """The value that an error is about, with its interpolations unresolved."""
    value: Any = OmegaConf.to_container(cfg, resolve=False)
    for name in str(error.full_key).split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _type_of(schema: Any, key: str) -> Any:
    name, _, rest = key.partition(".")
    kind = next(field.type for field in fields(schema) if field.name == name)
    return _type_of(kind, rest) if rest else kind


def _listed_value(argument: str) -> str:
    key = argument.partition("=")[0]
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:  # Hydra says why when it reads the argument itself
        return argument
    if not override.is_sweep_override():
        values = [override.get_value_element_as_str()]
    elif override.is_discrete_sweep():
        values = [*override.sweep_string_iterator()]
    else:
        return argument
    if all(value.startswith("[") or value == "null" for value in values):
        return argument
    return f"{key}=" + ",".join(value if value.startswith("[") else f"[{value}]" for value in values)


def _keys_in(cfg: DictConfig, known: set[str], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a configuration, as deep as the schema goes."""
    for name in cfg:
        key = f"{prefix}{name!s}"
        yield key
        if any(each.startswith(f"{key}.") for each in known):
            yield from _keys_in(cfg[name], known, f"{key}.")


def _all_keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted keys of a configuration, with those that its schema leaves open: `sae.settings.k`."""
    for name in cfg:
        yield f"{prefix}{name!s}"
        if not OmegaConf.is_interpolation(cfg, str(name)) and OmegaConf.is_dict(cfg._get_node(name)):
            yield from _all_keys(cfg[name], f"{prefix}{name!s}.")


def _did_you_mean(key: str, known: Iterable[str]) -> str:
    close = closest(key, known)
    return f"; did you mean {close}?" if close else "; --help lists them all"


def _listed_options(sentence: str) -> str:
    """Options that stood on a line each, as a list."""
    start, heading, options = sentence.partition("Available options in ")
    _, colon, names = options.partition(":; ")
    return f"{start}choose from {names.replace('; ', ', ')}" if heading and colon else sentence
