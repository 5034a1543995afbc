"""What a training run is asked for: plain values with the defaults of `conf/training`, checked when they are made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf
from pathlib import Path
from typing import Any

from analogue.errors import (
    LARGEST_SEED,
    InvalidArgument,
    check_each_once,
    check_flag,
    check_list,
    check_minima,
    check_option,
    whole_number,
)
from analogue.options import DecoderBiasStart, Precision

SCALED_ONCE = "expected_average_only_in"  # SAELens's name for: divided once, so that the mean norm is sqrt(d_in)
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "topk": {"k": None},
    "standard": {"l1_coefficient": 5.0},
    "batchtopk": {"k": None},
    "gated": {"l1_coefficient": 5.0},
    "jumprelu": {"l0_coefficient": 1.0, "jumprelu_init_threshold": 0.01, "jumprelu_bandwidth": 0.05},
    "matryoshka_batchtopk": {"k": None, "matryoshka_shares": [0.125, 0.25, 0.5, 1.0]},
}
"""The settings of each architecture unless others are given, besides a scaled input; see `default_k`."""


def default_settings(architecture: str) -> dict[str, Any]:
    """Of an architecture; empty for one that is not known here."""
    known = ARCHITECTURES.get(architecture)
    return {} if known is None else {**known, "normalize_activations": SCALED_ONCE}


def default_batch_tokens(n_tokens: int) -> int:
    """Tokens per step: 512, 1,024 or 4,096, so that a short run has some hundred steps."""
    return 512 if n_tokens < 300_000 else 1024 if n_tokens < 4_000_000 else 4096


def default_dead_after_tokens(n_tokens: int) -> int:
    """A 25th of the run, but at least 20,000 and at most 10,000,000 tokens."""
    return min(max(20_000, n_tokens // 25), 10_000_000)


def default_sequences_per_pass(seq_len: int) -> int:
    """Sequences that the model reads at once: as many as hold 4,800 tokens, which bounds the memory of a pass."""
    return max(1, 4800 // seq_len)


def sizes_by_length(n_tokens: int, batch_tokens: int | None, dead_after_tokens: int | None) -> dict[str, int]:
    """`batch_tokens` and `dead_after_tokens` of a run of `n_tokens`, as they were given or, where None, by default."""
    return {
        "batch_tokens": default_batch_tokens(n_tokens) if batch_tokens is None else batch_tokens,
        "dead_after_tokens": default_dead_after_tokens(n_tokens) if dead_after_tokens is None else dead_after_tokens,
    }


def default_learning_rate(n_steps: int) -> float:
    """Of Adam: 3e-3 for up to 500 steps, then falling with the square root of the number of steps."""
    return 3e-3 * min(1.0, float((500 / n_steps) ** 0.5))


def fused_adam(parameters: Iterable[Any], lr: float) -> Any:
    """`torch.optim.Adam`, which updates all parameters at once."""
    from torch.optim import Adam

    return Adam(parameters, lr=lr, fused=True)


@dataclass(frozen=True)
class Optimiser:
    """The optimiser and its schedule, whose parts are fractions of all steps.

    Attributes:
        learning_rate: after its warm-up and before its decay; None for `default_learning_rate`.
        warm_up_fraction: in which the learning rate rises linearly.
        decay_fraction: at the end, in which it falls linearly to 0.
        sparsity_warm_up_fraction: in which the coefficient of the sparsity loss rises linearly.
        function: makes the optimiser: `function(parameters, lr=learning_rate)`.
    """

    learning_rate: float | None = None
    warm_up_fraction: float = 0.02
    decay_fraction: float = 0.2
    sparsity_warm_up_fraction: float = 0.05
    function: Callable[..., Any] = fused_adam

    def __post_init__(self) -> None:
        if self.learning_rate is not None and not 1e-30 <= self.learning_rate <= 1e30:
            problem = "must be above 0, and within what float32 can hold (1e-30 to 1e30)"
            raise InvalidArgument("learning_rate", self.learning_rate, problem)
        for name in ("warm_up_fraction", "decay_fraction", "sparsity_warm_up_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidArgument(name, getattr(self, name), "must lie between 0 and 1")
        if not callable(self.function):
            raise InvalidArgument("function", self.function, "is not a function of parameters and lr")


@dataclass(frozen=True)
class Buffer:
    """Where activations are mixed between the model and the SAEs.

    Attributes:
        tokens: held when it is full.
        sequences_per_pass: sequences in one forward pass of the model; None for `default_sequences_per_pass`.
    """

    tokens: int = 65536
    sequences_per_pass: int | None = None

    def __post_init__(self) -> None:
        at_once = 1 if self.sequences_per_pass is None else self.sequences_per_pass
        check_minima({"tokens": (self.tokens, 0), "sequences_per_pass": (at_once, 1)})


@dataclass(frozen=True)
class Evaluation:
    """What is measured on held-out text, and how often.

    Attributes:
        every_steps: steps between two measurements; None for `TrainingPlan.steps_between_evaluations`.
        n_tokens: for explained variance, L0 and dead features.
        n_sequences: for the cross-entropy recovered.
    """

    every_steps: int | None = None
    n_tokens: int = 49152
    n_sequences: int = 16

    def __post_init__(self) -> None:
        check_minima({name: (value, 1) for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints to resume from.

    Attributes:
        directory: made when the first is written.
        every_steps: steps between two.
        every_minutes: minutes between two, where these come first; None to go by steps alone.
        keep: how many of the newest are kept.
    """

    directory: str | Path
    every_steps: int = 200
    every_minutes: float | None = 10.0
    keep: int = 2

    def __post_init__(self) -> None:
        check_minima({"every_steps": (self.every_steps, 1), "keep": (self.keep, 1)})
        if self.every_minutes is not None and not 0 < self.every_minutes < inf:
            raise InvalidArgument("every_minutes", self.every_minutes, "must be above 0, and finite; or null")


@dataclass(frozen=True)
class SAEPlan:
    """One SAE to train.

    Attributes:
        name: `layer_3`, or `layer_3/seed_0/d_sae_768` where seeds or widths differ: its folder, and its name in logs.
        seed: of its initial weights.
    """

    name: str
    layer: int
    seed: int
    d_sae: int


@dataclass(frozen=True)
class TrainingPlan:
    """Which SAEs are trained, on how much text, and how; see `train` for the attributes.

    Raises:
        InvalidArgument: an attribute that cannot work.
    """

    layers: Sequence[int]
    seeds: Sequence[int]
    expansion_factor: Sequence[int]
    architecture: str
    settings: Mapping[str, Any]
    frozen_decoder: bool
    n_tokens: int
    batch_tokens: int
    dead_after_tokens: int
    seq_len: int
    packing: bool
    exclude_bos: bool
    exclude_special: bool
    exclude_outliers: float | None
    b_dec_init_method: str
    seed: int
    dtype: str
    optimiser: Optimiser
    buffer: Buffer
    evaluation: Evaluation
    cache_dir: str | Path | None = None

    def __post_init__(self) -> None:
        for name, such_as in {"layers": "[3]", "seeds": "[0]", "expansion_factor": "[8]"}.items():
            values = getattr(self, name)
            check_list(name, values, such_as)
            if len(values) == 0:
                raise InvalidArgument(name, values, "must name at least one")
            for value in values:
                whole_number(name, value)
            check_each_once(name, values)
        check_minima(
            {
                "expansion_factor": (min(self.expansion_factor), 1),
                "seeds": (min(self.seeds), 0),
                "seed": (self.seed, 0),
                "n_tokens": (self.n_tokens, 1),
                "batch_tokens": (self.batch_tokens, 1),
                "dead_after_tokens": (self.dead_after_tokens, 1),
                "seq_len": (self.seq_len, 2),
            }
        )
        for name, seed in {"seed": self.seed, "seeds": max(self.seeds)}.items():
            if seed > LARGEST_SEED:
                raise InvalidArgument(name, seed, f"must be at most {LARGEST_SEED}")
        check_flag("frozen_decoder", self.frozen_decoder)
        check_option("dtype", self.dtype, Precision, "is not a precision; use {}")
        check_option("b_dec_init_method", self.b_dec_init_method, DecoderBiasStart)
        if self.exclude_outliers is not None and not 1 < self.exclude_outliers < inf:
            problem = "must be above 1, a finite multiple of the median norm; or null"
            raise InvalidArgument("exclude_outliers", self.exclude_outliers, problem)
        if self.n_tokens < self.batch_tokens:
            problem = f"is less than one batch (`batch_tokens`={self.batch_tokens})"
            raise InvalidArgument("n_tokens", self.n_tokens, problem)

    @property
    def n_steps(self) -> int:
        """Steps in all; one batch each."""
        return self.n_tokens // self.batch_tokens

    @property
    def sequences_per_pass(self) -> int:
        """What was asked for, or `default_sequences_per_pass`."""
        given = self.buffer.sequences_per_pass
        return default_sequences_per_pass(self.seq_len) if given is None else given

    @property
    def steps_between_evaluations(self) -> int:
        """What was asked for; or equal intervals in which measuring reads at most a tenth of what training reads.

        A short run is measured once, at its end.
        """
        given = self.evaluation.every_steps
        n_evaluations = max(1, self.n_tokens // (10 * self.evaluation.n_tokens))
        return min(ceil(self.n_steps / n_evaluations) if given is None else given, self.n_steps)

    @property
    def learning_rate(self) -> float:
        """What was asked for, or `default_learning_rate`."""
        given = self.optimiser.learning_rate
        return default_learning_rate(self.n_steps) if given is None else given

    def steps(self, fraction: float) -> int:
        """A fraction of all steps."""
        return round(fraction * self.n_steps)

    def saes(self, d_model: int) -> list[SAEPlan]:
        """Every layer with every seed and every width.

        Seeds and widths of a single value are left out of the names; the layer is always part of them.
        """
        plans = []
        for layer, seed, factor in product(self.layers, self.seeds, self.expansion_factor):
            name, d_sae = f"layer_{layer}", factor * d_model
            if len(self.seeds) > 1:
                name += f"/seed_{seed}"
            if len(self.expansion_factor) > 1:
                name += f"/d_sae_{d_sae}"
            plans.append(SAEPlan(name, layer, seed, d_sae))
        return plans
