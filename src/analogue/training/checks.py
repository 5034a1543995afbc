"""Settings that no type can check, refused before any work is done."""

from analogue.errors import UserError
from analogue.training.config import TrainSAEConfig


def check_settings(config: TrainSAEConfig) -> None:
    """Raise a `UserError` naming the first key whose value cannot work."""
    for key, values in {
        "layers": config.layers,
        "seeds": config.seeds,
        "expansion_factor": config.expansion_factor,
    }.items():
        if not values or len(set(values)) < len(values):
            raise UserError(key, values, "must name at least one, and none twice")
    minima = {
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
    for key, (value, minimum) in minima.items():
        if value < minimum:
            raise UserError(key, value, f"must be at least {minimum}")
    if config.n_tokens < config.batch_tokens:
        raise UserError("n_tokens", config.n_tokens, f"is less than one batch (batch_tokens={config.batch_tokens})")
    optimiser = config.optimiser
    if not optimiser.learning_rate > 0:
        raise UserError("optimiser.learning_rate", optimiser.learning_rate, "must be above 0")
    for name in ("warm_up_fraction", "decay_fraction", "sparsity_warm_up_fraction"):
        if not 0 <= getattr(optimiser, name) <= 1:
            raise UserError(f"optimiser.{name}", getattr(optimiser, name), "must lie between 0 and 1")
