"""What training sends to a Lightning logger besides what its module logs: the configuration, and SAEs as artifacts."""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from analogue.cli.logger import configured_logger
from analogue.reporting.tracking import abandon_run, error_message, log_sae
from analogue.results import flatten
from analogue.saes import load, sae_fingerprint


def open_logger(cfg: DictConfig, output: Path, resumed: Path | None) -> Logger | bool:
    """The configured logger, writing beside the SAEs; False for none, or where it cannot be opened."""
    if not cfg.logger:
        return False
    abandon_run()  # of an earlier job of this process that has failed
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)  # type: ignore[assignment]
    del settings["logger"]
    # Lightning's CSV logger deletes the rows that it finds: a run that goes on has a folder of its own.
    place = {"version": f"from_{resumed.stem}"} if resumed and "version" in cfg.logger else {}
    try:
        logger = configured_logger(cfg.logger, save_dir=str(output), **place)
        logger.log_hyperparams(flatten(settings))  # W&B reaches for its server here
    except Exception as error:  # whatever a server or an account comes up with: training does not need it
        print(f"warning: nothing is logged: {cfg.logger._target_} failed ({error_message(error)})", file=sys.stderr)
        return False
    return logger


def log_saes(logger: Any, folders: list[Path]) -> None:
    """SAEs as W&B artifacts; other loggers have no place for them."""
    if not isinstance(logger, WandbLogger):
        return
    for folder in folders:
        sae = load(path=str(folder))  # as `compare.py` finds it: both give it the same name
        log_sae(logger, folder, sae_fingerprint(sae), sae.cfg.metadata.to_dict())
