"""Loggers as the configuration describes them."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig

from analogue.cli.composition import own_error
from analogue.reporting import tracking


def configured_logger(config: DictConfig, **places: Any) -> Logger:
    """The logger of a `logger` section; `places` replace entries of the section.

    Raises:
        Exception: whatever the logger raises, not the exception that Hydra makes of it.
    """
    try:
        logger: Logger = instantiate(config, **places)
    except InstantiationException as error:
        raise own_error(error) from None
    return logger


def wandb_logger(mode: RunMode | None, sweep_dir: str, **settings: Any) -> WandbLogger:
    """A W&B logger; the jobs of a multirun share a group, named after the sweep's folder.

    Args:
        mode: Hydra's.
        settings: of `analogue.reporting.tracking.wandb_logger`.
    """
    return tracking.wandb_logger(group=sweep_dir if mode is RunMode.MULTIRUN else None, **settings)
