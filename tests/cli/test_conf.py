"""Every YAML under conf/ composes as an entry point composes it, fits its schema, and holds only what is read."""

import copy
import inspect
from itertools import zip_longest

import pytest
import wandb
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from lightning.pytorch.loggers import WandbLogger
from omegaconf import OmegaConf, open_dict

from analogue.cli.compare import light_arguments
from analogue.cli.composition import typed
from analogue.cli.conf import COMPARE, ROOT, TRAIN_SAE
from analogue.cli.logger import wandb_logger
from analogue.cli.schema import CompareConfig, TrainSAEConfig
from analogue.cli.train_sae import plan_of
from analogue.reporting import tracking
from analogue.trainer import open_trainer
from analogue.training.sae import new_sae

CONF = COMPARE.directory
PROGRAMS = (COMPARE, TRAIN_SAE)
PRESETS = ("experiment", "protocol", "sweep", "layer_grid", "seeds", "control")
MUST_BE_GIVEN = {
    "model.name": "some/model",
    "model_a.name": "some/model",
    "model_b.name": "some/model",
    "sae_a.path": "some/directory",
    "sae_b.path": "some/directory",
    "data.path": "some.txt",
    "data.held_out_path": "other.txt",
    "upload.repository": "me/saes",
}


@pytest.fixture
def composed(tmp_path, monkeypatch):
    """Compose a configuration as Hydra hands it to an entry point, with what only a run or a user can tell."""
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)

    def compose_as_in_a_run(program, *overrides):
        run = (f"hydra.runtime.output_dir={tmp_path}", "hydra.job.name=job")
        with program.shared_groups(), initialize_config_dir(str(program.directory), version_base="1.3"):
            cfg = compose(program.config_name, overrides=[*run, *overrides], return_hydra_config=True)
        for key, value in MUST_BE_GIVEN.items():
            section, _, field = key.partition(".")
            if section in cfg and OmegaConf.is_missing(cfg[section], field):
                OmegaConf.update(cfg, key, value)
        HydraConfig.instance().set_config(cfg)
        return cfg

    return compose_as_in_a_run


def options(folder):
    return sorted(path.stem for path in folder.glob("*.yaml"))


def combinations(program, *excepted):
    """As few command lines as choose every option of every group, those of presets excepted."""
    found = {folder.name: options(folder) for folder in sorted(program.directory.iterdir()) if folder.is_dir()}
    found |= {group: options(ROOT / folder) for group, folder in program.shared.items() if "/" not in group}
    choices = {group: names for group, names in found.items() if names and group not in excepted}
    for row in zip_longest(*choices.values()):
        yield tuple(f"{group}={option or choices[group][0]}" for group, option in zip(choices, row, strict=True))


def fits(cfg, schema, check_settings):
    """Raise for what the schema, the checks, Lightning or a constructor refuses; returns the typed configuration."""
    task = copy.deepcopy(cfg)
    with open_dict(task):
        del task["hydra"]
    OmegaConf.resolve(task)
    config = typed(task, schema)
    check_settings(config)
    open_trainer(config.trainer, logger=False)
    for callback in (cfg.hydra.callbacks or {}).values():
        instantiate(callback)
    if task.logger:
        instantiate(task.logger)
    return config


@pytest.mark.parametrize(
    "overrides",
    [
        *combinations(COMPARE, *PRESETS, "training"),
        *((f"experiment={name}", "protocol=published") for name in options(CONF / "experiment")),
        *((f"seeds={name}",) for name in options(CONF / "seeds")),
        *((f"control={name}",) for name in options(CONF / "control")),
        *((f"hydra/launcher={name}",) for name in options(CONF / "hydra" / "launcher")),
    ],
    ids=",".join,
)
def test_configurations_of_compare_fit(composed, overrides):
    fits(composed(COMPARE, *overrides), CompareConfig, light_arguments)


@pytest.mark.parametrize(
    "overrides",
    [
        *combinations(TRAIN_SAE, "experiment"),
        *((f"experiment={name}",) for name in options(CONF / "training" / "experiment")),
    ],
    ids=",".join,
)
def test_configurations_of_train_sae_fit_and_make_an_sae(composed, overrides):
    config = fits(composed(TRAIN_SAE, *overrides, "output_dir=out"), TrainSAEConfig, plan_of)
    new_sae(config.sae.architecture, config.sae.settings, 8, 32, seed=0, sparsity_warm_up_steps=10, metadata={})


@pytest.mark.parametrize(
    "preset", ["experiment=seed_study", *(f"sweep={name}" for name in options(CONF / "layer_grid"))]
)
def test_the_jobs_of_a_preset_s_grid_fit(composed, preset):
    chosen = [preset] if preset.startswith("experiment") else [f"experiment={preset.partition('=')[2]}", "sweep=paper"]
    hydra = composed(COMPARE, *chosen).hydra
    assert hydra.mode.name == "MULTIRUN"
    grid = OverridesParser.create().parse_overrides([f"{key}={values}" for key, values in hydra.sweeper.params.items()])
    swept = {override.key_or_group: _values(override) for override in grid}
    for place in (0, -1):
        job = [f"{key}={values[place]}" for key, values in swept.items()]
        fits(composed(COMPARE, *chosen, *job), CompareConfig, light_arguments)


def _values(override):
    return (
        [*override.sweep_string_iterator()] if override.is_sweep_override() else [override.get_value_element_as_str()]
    )


def test_what_the_wandb_logger_hands_on_is_an_argument_there(composed):
    logger = composed(COMPARE, "logger=wandb").logger
    targets = (wandb_logger, tracking.wandb_logger, WandbLogger.__init__, wandb.init)
    known = [set(inspect.signature(target).parameters) for target in targets]
    assert set(logger) - {"_target_"} <= set.union(*known)
    wandb.Settings(init_timeout=logger.init_timeout)


def test_no_folder_of_the_configuration_is_left_out():
    tested = {"experiment", "protocol", "sweep", "layer_grid", "seeds", "control", "launcher", "callbacks", "help"}
    tested |= {line.partition("=")[0] for program in PROGRAMS for row in combinations(program) for line in row}
    assert {path.parent.name for path in CONF.rglob("*.yaml")} - {"conf", "training"} <= tested
    assert options(CONF / "protocol") == ["published"]
    assert options(CONF / "sweep") == ["paper"]
