"""`analogue universality`, `universality.py`: many spaces as the configuration lists them."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import DictConfig

from analogue.cli.compare import check_names, text_arguments
from analogue.cli.composition import plain, typed
from analogue.cli.conf import TRAIN_SAE, UNIVERSALITY
from analogue.cli.keys import UNIVERSALITY_KEYS, naming_keys, section
from analogue.cli.run import run
from analogue.cli.schema import UniversalityConfig
from analogue.errors import UserError, check_each_once, check_folder
from analogue.settings import Cache, Clustering, Null, Side

if TYPE_CHECKING:
    from analogue.universality.result import Universality

_FIELDS = tuple(field.name for field in fields(Side))
_NEEDED = ("model", "layer", "sae")


def main(*subcommand: str) -> NoReturn:
    """Run the job of the command line, and end the process; see `analogue.cli.run.run`."""
    run(run_universality, UNIVERSALITY, subcommand)


def run_universality(cfg: DictConfig) -> "Universality | None":
    """Find what many spaces have in common; write, print and log it.

    Returns:
        What was found; None on ranks other than 0.

    Raises:
        UserError: something in the configuration cannot work.
    """
    config = typed(cfg, UniversalityConfig)
    arguments = light_arguments(config)

    from analogue.trainer import open_trainer
    from analogue.universality.pipeline import universality

    with naming_keys(UNIVERSALITY_KEYS):
        check_folder("output_dir", config.output_dir)
        trainer = open_trainer(config.trainer, logger=False)  # first: a wrong key shows before long training
    _train_missing(arguments["spaces"], config.train, config.trainer)
    with naming_keys(UNIVERSALITY_KEYS):
        found = universality(**arguments, trainer=trainer, config=plain(cfg))
        if found is not None:
            found.save(config.output_dir)
    if found is not None:
        _show(cfg, found, Path(config.output_dir))
    return found


def light_arguments(config: UniversalityConfig) -> dict[str, Any]:
    """The arguments of `analogue.universality` that are made, and checked, before torch is loaded.

    Raises:
        UserError: a value that cannot work.
    """
    names, spaces = listed_spaces(config.space, config.vary, config.spaces)
    check_names(config.metrics)
    arguments: dict[str, Any] = {
        "names": names,
        "spaces": spaces,
        "in_order": config.in_order,
        "metrics": config.metrics,
        **text_arguments(config),
    }
    with section("clusters"):
        arguments["clustering"] = Clustering(**vars(config.clusters))
    with section("null"):
        arguments["null"] = Null(n=config.null.n)
    with section("cache"):
        cache = Cache(config.cache.dir, config.cache.max_gb)
        arguments["cache"] = cache if config.cache.enabled else None
    return arguments


def listed_spaces(
    common: Mapping[str, Any], vary: Mapping[str, Sequence[Any]], listed: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[Side]]:
    """The spaces of a configuration: all combinations of what is varied, then those listed; with their names.

    Raises:
        UserError: there are fewer than two, a key is unknown or missing, or a value cannot work.
    """
    given = []
    if vary:
        for name, values in vary.items():
            if not values:
                raise UserError(f"vary.{name}", "[]", "names nothing; give a list of at least one")
            with section("vary"):
                check_each_once(name, values)
        for values in product(*vary.values()):
            varied = dict(zip(vary, values, strict=True))
            name = ", ".join(f"{key} {value}" for key, value in varied.items() if len(vary[key]) > 1)
            given.append({"name": name or "all"} | dict(common) | varied)
    given += [dict(common) | dict(space) for space in listed]
    if len(given) < 2:
        problem = "must be at least two, to have features in common; list them in spaces, or in vary what differs"
        raise UserError("spaces", f"{len(given)} of them", problem)
    return _names(given), [_side(number, space, vary) for number, space in enumerate(given)]


def _names(given: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [str(space.get("name") or f"{space.get('model')} layer {space.get('layer')}") for space in given]
    return [f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names)]


def _side(number: int, space: Mapping[str, Any], vary: Mapping[str, Any]) -> Side:
    key = f"spaces.{number}"
    for name in space:
        if name not in (*_FIELDS, "name", *vary):
            problem = f"is not a key of a space; choose from name, {', '.join(_FIELDS)}"
            raise UserError(f"{key}.{name}", space[name], problem)
    for name in _NEEDED:
        if space.get(name) is None:
            raise UserError(f"{key}.{name}", "null", "has no value; give every space a model, a layer and an sae")
    values = {name: value for name, value in space.items() if name in _FIELDS}
    for name in ("model", "sae"):
        for varied in space.keys() & vary.keys():
            values[name] = str(values[name]).replace(f"{{{varied}}}", str(space[varied]))
    with section(key):
        return Side(**values)


def _train_missing(spaces: Sequence[Side], train: Mapping[str, Any] | None, trainer: Mapping[str, Any]) -> None:
    """Train the SAEs, in one run, unless all are there; a run that was stopped goes on from its last checkpoint."""
    places = [Path(str(space.sae).replace("{layer}", str(space.layer))) for space in spaces]
    missing = [place for place in places if ":" not in str(place) and not place.exists()]
    if train is None or not missing:
        return
    from analogue.cli.train_sae import DEFAULT_OUTPUT, train_saes

    print(f"{missing[0]} and {len(missing) - 1} more SAEs are not there: training them first", flush=True)
    output = Path(train.get("output_dir", DEFAULT_OUTPUT))
    cfg = TRAIN_SAE.compose(*training_overrides(train, trainer))
    train_saes(cfg)
    gc.collect()  # trainer and module refer to each other
    left = [place for place in missing if not place.exists()]
    if left:
        problem = f"has trained SAEs into {output}, but {left[0]} is not among them; let space.sae name them"
        raise UserError("train", dict(train), problem)


def training_overrides(train: Mapping[str, Any], trainer: Mapping[str, Any]) -> list[str]:
    """The command line of the training run, which goes on from a checkpoint where there is one."""
    from analogue.cli.train_sae import DEFAULT_OUTPUT, LAST
    from analogue.results import flatten

    settings = {"trainer.enable_progress_bar": trainer.get("enable_progress_bar", True)} | flatten(train)
    if any((Path(train.get("output_dir", DEFAULT_OUTPUT)) / "checkpoints").glob("*.ckpt")):
        settings["ckpt_path"] = LAST
    return [f"{key}={_spelled(value)}" for key, value in settings.items()]


def _spelled(value: Any) -> str:
    """A value as Hydra's command line reads it."""
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else str(value)


def _show(cfg: DictConfig, found: "Universality", output: Path) -> None:
    """Figures, page and tables, and what the configured logger gets of them."""
    from analogue.cli.logger import configured_logger
    from analogue.reporting.console import plain_console
    from analogue.reporting.tracking import log_or_warn
    from analogue.reporting.universality import save_universality, universality_tables
    from analogue.reporting.universality_tracking import log_universality

    with naming_keys(UNIVERSALITY_KEYS):
        figures = save_universality(found.record, found.tables, output)
    console = plain_console()
    console.print(universality_tables(found.record))
    console.print(f"written to {output}", soft_wrap=True)
    if cfg.logger:
        log = partial(log_universality, result=found.record, figures=figures, directory=output)
        log_or_warn(partial(configured_logger, cfg.logger), log)
