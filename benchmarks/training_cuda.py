"""SAE training on a CUDA device beside SAELens's own trainer: `python -m benchmarks.training_cuda [--steps 150]`.

The sizes of the paper's Appendix A: d_in 1,024, d_sae 16,384, batches of 4,096 tokens. Both trainers take the same
batches, which lie on the device; then ours reads them from a model of Pythia-410m's shape (random weights: speed does
not depend on them). The matrix rate is what one large
product reaches in the same run; a step's products are the five without which there is no gradient.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle, islice
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from transformers import GPTNeoXConfig, GPTNeoXModel

from analogue.models import ResidualStream
from analogue.quiet import quiet_libraries
from analogue.training.source import ActivationBatch, ModelSource
from analogue.training.stream import ActivationStream, MixingPlan
from benchmarks.clock import now
from benchmarks.training import LAYER, WARM_UP, Batches, Size, seconds_of_ours, seconds_of_saelens

TF32, BF16 = (Size(1024, 16384, 4096, "cuda", precision) for precision in ("32-true", "bf16-mixed"))
NAMES = {TF32: "tf32", BF16: "bf16"}
STEPS_OF_THE_PAPER = 30_000
SEQ_LEN, SEQUENCES_A_PASS = 256, 64


class Speed(NamedTuple):
    """Steps a second of each SAE."""

    steps: float
    n_saes: int

    @property
    def flops(self) -> float:
        """Of the products that a step cannot do without."""
        return self.steps * self.n_saes * 5 * 2 * TF32.batch * TF32.d_in * TF32.d_sae


def median_speed(seconds: Callable[[], float], n_steps: int, n_saes: int, repeats: int) -> Speed:
    """Of several runs."""
    return Speed((n_steps - WARM_UP) / statistics.median(seconds() for _ in range(repeats)), n_saes)


def matrix_rate(dtype: torch.dtype, n: int = 8192) -> float:
    """Floating-point operations a second of one large product."""
    a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    start = now()
    for _ in range(10):
        a @ b
    return 10 * 2 * n**3 / (now() - start)


def drawn_batches(n: int) -> list[ActivationBatch]:
    """Activations on the device, whose variance falls off as a residual stream's does."""
    generator = torch.Generator("cuda").manual_seed(0)
    spread = torch.arange(1, TF32.d_in + 1, device="cuda") ** -0.5
    shape = TF32.batch, TF32.d_in
    return [{LAYER: torch.randn(shape, generator=generator, device="cuda") * spread} for _ in range(n)]


def model_stream(n_steps: int) -> ActivationStream:
    """Activations of block 6 of a model of Pythia-410m's shape."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, vocab_size=50304
    )
    model = GPTNeoXModel(config).to("cuda", torch.bfloat16).eval().requires_grad_(False)
    n_sequences = n_steps * TF32.batch // SEQ_LEN + SEQUENCES_A_PASS
    ids = torch.randint(50304, (n_sequences, SEQ_LEN), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids, dtype=torch.bool)
    source = ModelSource(ResidualStream(model, 24), ids, mask, mask, [LAYER])
    plan = MixingPlan(source.lengths, TF32.batch, 32 * TF32.batch, SEQUENCES_A_PASS, seed=0)
    return ActivationStream(plan, source, [LAYER], n_steps)


def in_float32(batches: Iterable[ActivationBatch]) -> Iterator[ActivationBatch]:
    """As the SAE takes them."""
    for batch in batches:
        yield {layer: acts.float() for layer, acts in batch.items()}


def seconds_of_stream(stream: ActivationStream) -> float:
    """Of the language model alone."""
    start = now()
    for number, _ in enumerate(stream):
        if number + 1 == WARM_UP:
            start = now()
    return now() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    warnings.simplefilter("ignore")
    torch.set_float32_matmul_precision("high")
    n_steps, repeats = arguments.steps, arguments.repeats
    kept = drawn_batches(16)
    forever: Batches = lambda: cycle(kept)  # noqa: E731
    some: Batches = lambda: islice(cycle(kept), n_steps)  # noqa: E731
    table = Table(title=f"Training SAEs on {torch.cuda.get_device_name()}, {TF32.d_in} x {TF32.d_sae}, {TF32.batch}")
    for name in ("", "SAELens, steps/s", "ours, steps/s", "ratio", "of the matrix rate", "30,000 steps, min"):
        table.add_column(name, justify="left" if name == "" else "right")
    for size, dtype in ((TF32, torch.float32), (BF16, torch.bfloat16)):
        rate = matrix_rate(dtype)
        for architecture in ("standard", "topk"):
            run = partial(seconds_of_ours, architecture, size, batches=some, n_steps=n_steps)
            theirs = median_speed(
                partial(seconds_of_saelens, architecture, size, forever, n_steps), n_steps, 1, repeats
            )
            for seeds in ([0], [0, 1]):
                ours = median_speed(partial(run, seeds=seeds), n_steps, len(seeds), repeats)
                name = f"{NAMES[size]}, {architecture}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
                add_row(table, name, Speed(theirs.steps / len(seeds), len(seeds)), ours, rate)
        table.add_section()
    live = model_stream(n_steps)
    alone = median_speed(lambda: seconds_of_stream(live), n_steps, 0, repeats)
    table.add_row("bf16, the model's pass alone", "", f"{alone.steps:.0f}", "", "", "")
    run = partial(seconds_of_ours, "standard", BF16, [0, 1], lambda: in_float32(live), n_steps)
    ours = median_speed(run, n_steps, 2, repeats)
    add_row(table, "bf16, standard, 2 seeds, with the model's pass", None, ours, rate)
    Console(width=150).print(table)


def add_row(table: Table, name: str, theirs: Speed | None, ours: Speed, rate: float) -> None:
    """Show one measurement."""
    compared = ("", "") if theirs is None else (f"{theirs.steps:.0f}", f"{ours.steps / theirs.steps:.2f}")
    minutes = STEPS_OF_THE_PAPER / ours.steps / 60
    table.add_row(name, compared[0], f"{ours.steps:.0f}", compared[1], f"{ours.flops / rate:.0%}", f"{minutes:.1f}")


if __name__ == "__main__":
    with quiet_libraries():
        main()
