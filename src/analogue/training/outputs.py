"""What a training run leaves behind: SAEs on disk, told where they come from and how good they are, and a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from rich.table import Table
from safetensors import SafetensorError

from analogue.cli.checks import named_by_keys
from analogue.cli.schema import TrainSAEConfig
from analogue.errors import UserError
from analogue.saes import misfit_warnings
from analogue.training.build import save_sae
from analogue.training.checkpoints import newest_checkpoint
from analogue.training.module import SAETraining
from analogue.training.variants import Variant

DEFAULT_OUTPUT = "saes"


def output_directory(config: TrainSAEConfig) -> Path:
    """Where the SAEs go: `saes` for a run of its own, the job's folder within a multirun, unless it is given."""
    if config.output_dir is not None:
        return Path(config.output_dir)
    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    return Path(hydra.runtime.output_dir) if hydra and hydra.mode is RunMode.MULTIRUN else Path(DEFAULT_OUTPUT)


def checkpoint_directory(output: Path) -> Path:
    """Where the checkpoints of a run go."""
    return output / "checkpoints"


@contextmanager
def writing_to(output: Path) -> Iterator[None]:
    """Tell of an output directory that does not take what is written to it.

    Raises:
        UserError: naming the checkpoint to go on from, where there is one.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        left = newest_checkpoint(checkpoint_directory(output))
        advice = f"make room, and ckpt_path={left} goes on" if left else "choose another directory"
        reason = getattr(error, "strerror", None) or error
        raise UserError("output_dir", str(output), f"cannot be written to ({reason}); {advice}") from error


def metadata(config: TrainSAEConfig, variant: Variant) -> dict[str, Any]:
    """What an SAE's own files tell of where it comes from."""
    return {
        "model_name": config.model.name,
        "hook_name": f"blocks.{variant.layer}.hook_{config.model.hook.value}",
        "dataset_path": config.data.path,
        "context_size": config.data.seq_len,
        "seed": variant.seed,
        "data_seed": config.seed,
        "exclude_bos": config.data.exclude_bos,
    }


def write_saes(config: TrainSAEConfig, chosen: list[Variant], module: SAETraining, output: Path) -> list[Path]:
    """Write each SAE, with its held-out quality in its metadata."""
    for each in chosen:
        quality = module.held_out[each.name]
        facts = {
            "n_training_tokens": config.n_tokens,
            "explained_variance": round(quality.explained_variance, 6),
            "l0": round(quality.l0, 4),
            "dead_fraction": round(quality.dead_fraction, 6),
            "cross_entropy_recovered": round(module.recovered[each.name], 6),
        }
        save_sae(module.saes[each.name].finish(), output / each.name, facts)
    return [output / each.name for each in chosen]


def quality_table(config: TrainSAEConfig, module: SAETraining, output: Path) -> Table:
    """Held-out quality, a row for each SAE."""
    table = Table(title=f"SAEs of {config.model.name}, written to {output}", title_justify="left")
    for heading in ("SAE", "explained variance", "loss recovered", "L0", "dead"):
        table.add_column(heading, justify="left" if heading == "SAE" else "right", no_wrap=heading == "SAE")
    for name, quality in module.held_out.items():
        numbers = f"{quality.explained_variance:.3f}", f"{module.recovered[name]:.3f}", f"{quality.l0:.1f}"
        table.add_row(name, *numbers, f"{quality.dead_fraction:.1%}")
    return table


def quality_warnings(config: TrainSAEConfig, chosen: list[Variant], module: SAETraining) -> list[str]:
    """What speaks against SAEs that explain little of the held-out text."""
    suspects = "too few tokens (n_tokens), or a wrong optimiser.learning_rate or sae.settings"
    return [
        f"{each.name} {named_by_keys(misfit)}"
        for each in chosen
        for misfit in misfit_warnings(
            module.held_out[each.name].explained_variance,
            f"layer {each.layer} of {config.model.name}",
            first_tokens_count=not config.data.exclude_bos,
            suspects=suspects,
        )
    ]
