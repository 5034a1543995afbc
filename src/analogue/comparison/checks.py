"""Settings that no type can check, refused before any work is done."""

from analogue.cli.checks import check_minima, check_precisions
from analogue.cli.schema import CompareConfig
from analogue.comparison.grid_layers import ALL
from analogue.comparison.scoring import configured_metrics
from analogue.errors import UserError


def check_settings(config: CompareConfig) -> None:
    """Raise a `UserError` naming the first key whose value cannot work."""
    check_minima(
        {
            "data.n_sequences": (config.data.n_sequences, 1),
            "data.seq_len": (config.data.seq_len, 2),
            "data.batch_size": (config.data.batch_size, 1),
            "filters.top_tokens": (config.filters.top_tokens, 1),
            "null.n": (config.null.n, 1),
            "concepts.n": (config.concepts.n, 1),
            "cache.max_gb": (config.cache.max_gb, 0),
            "seed": (config.seed, 0),
        }
    )
    if config.layers_per_pass != ALL and not (isinstance(config.layers_per_pass, int) and config.layers_per_pass > 0):
        raise UserError("layers_per_pass", config.layers_per_pass, "must be at least 1, or all")
    lowest = config.filters.minimum_correlation
    if lowest is not None and not -1 <= lowest <= 1:
        raise UserError("filters.minimum_correlation", lowest, "must lie between -1 and 1")
    configured_metrics(config.metrics, config.seed)
    if not config.null.kinds:
        raise UserError("null.kinds", "[]", "names no null; choose from shuffle, random_pairs, rotated")
    for name, keywords in config.concepts.keywords.items():
        if not keywords or not all(keyword.strip() for keyword in keywords):
            raise UserError(f"concepts.keywords.{name}", keywords, "needs keywords, none of them empty")
    check_precisions(
        {
            "model_a.dtype": config.model_a.dtype,
            "model_b.dtype": config.model_b.dtype,
            "sae_a.dtype": config.sae_a.dtype,
            "sae_b.dtype": config.sae_b.dtype,
        }
    )
