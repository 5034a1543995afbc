"""Settings that no type can check, refused before any work is done."""

from math import isfinite

from analogue.cli.checks import check_minima, check_precisions
from analogue.cli.schema import TrainSAEConfig
from analogue.errors import UserError

LARGEST_SEED = 2**63 - 2  # of torch's generators; the order of the text takes the next one too
DECIDED_ELSEWHERE = {  # settings of Lightning's trainer that would contradict another key
    "max_epochs": "n_tokens",
    "max_steps": "n_tokens",
    "min_epochs": "n_tokens",
    "min_steps": "n_tokens",
    "max_time": "n_tokens",
    "limit_train_batches": "n_tokens",
    "overfit_batches": "n_tokens",
    "fast_dev_run": "n_tokens",
    "accumulate_grad_batches": "batch_tokens",
    "limit_val_batches": "evaluation.n_tokens",
    "val_check_interval": "evaluation.every_steps",
    "check_val_every_n_epoch": "evaluation.every_steps",
    "enable_checkpointing": "checkpoints.every_steps",
}
# Those that hold the weights in float32: Adam's small steps get lost in less.
PRECISIONS = ("32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
# They choose the features of a batch together: a rank, which has a share of it, would choose others.
OF_WHOLE_BATCHES = ("batchtopk", "matryoshka_batchtopk")


def check_settings(config: TrainSAEConfig) -> None:
    """Raise a `UserError` naming the first key whose value cannot work."""
    _check_lists(config)
    _check_numbers(config)
    _check_optimiser(config)
    _check_trainer(config)
    check_precisions({"model.dtype": config.model.dtype})
    if config.n_tokens < config.batch_tokens:
        raise UserError("n_tokens", config.n_tokens, f"is less than one batch (batch_tokens={config.batch_tokens})")


def check_ranks(config: TrainSAEConfig, n_ranks: int) -> None:
    """Raise a `UserError` where ranks together would not train what one would."""
    if n_ranks > 1 and config.sae.architecture in OF_WHOLE_BATCHES:
        problem = f"{config.sae.architecture} chooses features over a whole batch; train it on 1 device, or sae=topk"
        raise UserError("trainer.devices", config.trainer.get("devices"), problem)


def _check_lists(config: TrainSAEConfig) -> None:
    for key in ("layers", "seeds", "expansion_factor"):
        values = getattr(config, key)
        if not values or len(set(values)) < len(values):
            raise UserError(key, values, "must name at least one, and none twice")


def _check_numbers(config: TrainSAEConfig) -> None:
    check_minima(
        {
            "expansion_factor": (min(config.expansion_factor), 1),
            "seeds": (min(config.seeds), 0),
            "seed": (config.seed, 0),
            "batch_tokens": (config.batch_tokens, 1),
            "dead_after_tokens": (config.dead_after_tokens, 1),
            "data.seq_len": (config.data.seq_len, 2),
            "buffer.tokens": (config.buffer.tokens, 0),
            "buffer.sequences_per_pass": (config.buffer.sequences_per_pass, 1),
            "evaluation.every_steps": (config.evaluation.every_steps, 1),
            "evaluation.n_tokens": (config.evaluation.n_tokens, 1),
            "evaluation.n_sequences": (config.evaluation.n_sequences, 1),
            "checkpoints.every_steps": (config.checkpoints.every_steps, 1),
            "checkpoints.keep": (config.checkpoints.keep, 1),
        }
    )
    for key, seed in {"seed": config.seed, "seeds": max(config.seeds)}.items():
        if seed > LARGEST_SEED:
            raise UserError(key, seed, f"must be at most {LARGEST_SEED}")


def _check_optimiser(config: TrainSAEConfig) -> None:
    optimiser = config.optimiser
    if not (optimiser.learning_rate > 0 and isfinite(optimiser.learning_rate)):
        raise UserError("optimiser.learning_rate", optimiser.learning_rate, "must be above 0, and finite")
    for name in ("warm_up_fraction", "decay_fraction", "sparsity_warm_up_fraction"):
        if not 0 <= getattr(optimiser, name) <= 1:
            raise UserError(f"optimiser.{name}", getattr(optimiser, name), "must lie between 0 and 1")


def _check_trainer(config: TrainSAEConfig) -> None:
    for name, key in DECIDED_ELSEWHERE.items():
        if name in config.trainer:
            raise UserError(f"trainer.{name}", config.trainer[name], f"is decided by {key}; set that")
    precision, every = str(config.trainer.get("precision", "32-true")), config.trainer.get("log_every_n_steps", 1)
    if precision not in PRECISIONS:
        raise UserError("trainer.precision", precision, f"is none that SAEs train in; use {', '.join(PRECISIONS)}")
    if not (isinstance(every, int) and every > 0):
        raise UserError("trainer.log_every_n_steps", every, "must be a whole number of steps, at least 1")
