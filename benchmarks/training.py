"""Tokens per second of SAE training beside SAELens's own trainer: python -m benchmarks.training [--steps 60]

Real activations of layer 6 of the embedded stories-12 (d_in 128), d_sae 2,048, batches of 2,048 tokens. Both trainers
take the same batches in turn, several times; medians are shown. SAELens runs as it is by default, with
`use_sparse_activations` (TopK), and compiled as its `compile_sae` does; the table says which was fastest: ours is
compared with that. With the language model's pass, SAELens's two runs each
read the activations from the model through our stream; ours trains both seeds from one pass. On a machine with a CUDA
device, see also benchmarks.training_cuda.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any, NamedTuple

import lightning as L
import torch
from rich.console import Console
from rich.table import Table
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch.utils.data import DataLoader, IterableDataset

from analogue.corpus import read_texts, tokenise
from analogue.models import open_model
from analogue.quiet import quiet_libraries
from analogue.training.module import SAETraining
from analogue.training.sae import SAEUnderTraining, new_sae
from analogue.training.source import ActivationBatch, ModelSource
from analogue.training.stream import ActivationStream, MixingPlan
from benchmarks.clock import now

SETTINGS = {"standard": {"l1_coefficient": 5.0}, "topk": {"k": 32}}
WARM_UP = 5  # steps before the clock starts
SPARSE = {"use_sparse_activations": True, "rescale_acts_by_decoder_norm": False}
"""With the norms of the decoder's rows in the product, SAELens's sparse step has no gradient in this torch."""
VARIANTS = {
    "standard": {"plain": ({}, False), "compiled": ({}, True)},
    "topk": {
        "plain": ({}, False),
        "sparse": (SPARSE, False),
        "compiled": ({}, True),
        "sparse, compiled": (SPARSE, True),
    },
}
"""SAELens's ways to be fast: settings of the SAE, and whether its training step is compiled."""
LAYER = 6
Batches = Callable[[], Iterable[ActivationBatch]]


class Size(NamedTuple):
    """Of an SAE and its batches, and where it is trained in which precision."""

    d_in: int
    d_sae: int
    batch: int
    device: str = "cpu"
    precision: str = "32-true"


ON_CPU = Size(128, 2048, 2048)


class Clock(L.Callback):
    """Seconds from one step to the last."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.global_step == WARM_UP:
            self.first = now()

    def on_train_end(self, *args: Any) -> None:
        self.last = now()


class Source(IterableDataset[ActivationBatch]):
    """Batches from wherever they come."""

    def __init__(self, batches: Batches, n_steps: int) -> None:
        self.batches, self.n_steps = batches, n_steps

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[ActivationBatch]:
        return iter(self.batches())


def new(architecture: str, size: Size, seed: int, **settings: Any) -> Any:
    """A fresh SAE."""
    return new_sae(architecture, SETTINGS[architecture] | settings, size.d_in, size.d_sae, seed, 0, {})


def seconds_of_ours(architecture: str, size: Size, seeds: list[int], batches: Batches, n_steps: int) -> float:
    """Seconds of all steps but the first few, of all seeds together."""
    saes = {f"seed_{seed}": SAEUnderTraining(new(architecture, size, seed), LAYER, 1000 * size.batch) for seed in seeds}
    clock = Clock()
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    where: dict[str, Any] = {"accelerator": size.device, "devices": 1, "precision": size.precision}
    trainer = L.Trainer(**where, max_epochs=1, limit_val_batches=0, callbacks=[clock], **quiet)  # type: ignore
    trainer.fit(SAETraining(saes, 1e-3, 0, 0), train_dataloaders=DataLoader(Source(batches, n_steps), batch_size=None))
    return clock.last - clock.first


def seconds_of_saelens(architecture: str, size: Size, batches: Batches, n_steps: int, variant: str = "plain") -> float:
    """Seconds of all steps but the first few, of one run."""
    settings, compiles = VARIANTS[architecture][variant]
    sae = new(architecture, size, 0, **settings)
    if compiles:  # what LanguageModelSAETrainingRunner does for compile_sae
        sae.training_forward_pass = torch.compile(sae.training_forward_pass, mode="default")
    provider = (batch[LAYER] for batch in batches())
    times: list[float] = []

    def timed() -> Iterator[torch.Tensor]:
        for batch in provider:
            times.append(now() if len(times) == WARM_UP else 0.0)
            yield batch

    cfg = SAETrainerConfig(
        n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=n_steps * size.batch,
        device=size.device, autocast=size.precision == "bf16-mixed",
        lr=1e-3, lr_end=1e-3, lr_scheduler_name="constant", lr_warm_up_steps=0,
        adam_beta1=0.9, adam_beta2=0.999, lr_decay_steps=0, n_restart_cycles=1, train_batch_size_samples=size.batch,
        dead_feature_window=1000, feature_sampling_window=2000, logger=LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    SAETrainer(cfg, sae, timed()).fit()
    return now() - times[WARM_UP]


def stream(n_steps: int) -> ActivationStream:
    """Activations as a training run has them."""
    language_model = open_model("embedded:stories-12")
    texts = read_texts("embedded:stories/train.parquet")
    sequences = tokenise(texts, language_model.tokenizer, n_steps * ON_CPU.batch // 300 + 1, 300, packing=True)
    ids, mask = torch.from_numpy(sequences.ids), torch.from_numpy(sequences.mask)
    source = ModelSource(language_model.load(), ids, mask, mask, [LAYER])
    plan = MixingPlan(source.lengths, ON_CPU.batch, 32 * ON_CPU.batch, 16, seed=0)
    return ActivationStream(plan, source, [LAYER], n_steps)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    n_steps = arguments.steps
    live = stream(n_steps)
    kept = list(live)
    size, threads = ON_CPU, torch.get_num_threads()
    table = Table(title=f"Training SAEs, {size.d_in} x {size.d_sae}, batches of {size.batch}, {threads} threads")
    for name in ("", "SAELens, tokens/s", "its fastest", "tokens/s", "ours, tokens/s", "ratio", "bound"):
        table.add_column(name, justify="left" if name in ("", "its fastest") else "right")
    cases: list[tuple[str, str, list[int], Batches, float]] = [
        ("one standard SAE", "standard", [0], lambda: kept, 1.0),
        ("one TopK SAE", "topk", [0], lambda: kept, 1.3),
        ("two standard seeds, with the model's pass", "standard", [0, 1], lambda: live, 1.5),
        ("two TopK seeds, with the model's pass", "topk", [0, 1], lambda: live, 1.5),
    ]
    for title, architecture, seeds, batches, bound in cases:
        rounds: list[dict[str, float]] = []
        for _ in range(arguments.repeats):
            seconds = {
                variant: sum(
                    seconds_of_saelens(architecture, size, lambda b=batches: cycle(b()), n_steps, variant)
                    for _ in seeds
                )
                for variant in VARIANTS[architecture]
            }
            rounds.append(seconds | {"ours": seconds_of_ours(architecture, size, seeds, batches, n_steps)})
        n_tokens = (n_steps - WARM_UP) * size.batch * len(seeds)
        medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        fastest = min(VARIANTS[architecture], key=lambda variant: medians[variant])
        ratio = statistics.median(each[fastest] / each["ours"] for each in rounds)
        speeds = [f"{n_tokens / medians[name]:,.0f}" for name in ("plain", fastest, "ours")]
        table.add_row(title, speeds[0], fastest, speeds[1], speeds[2], f"{ratio:.2f}", f"{bound}")
        print(title, {name: f"{n_tokens / seconds:,.0f} tokens/s" for name, seconds in medians.items()}, flush=True)
    Console().print(table)


if __name__ == "__main__":
    with quiet_libraries():
        main()
