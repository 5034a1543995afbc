"""Quality of SAEs trained by `analogue.train` and by SAELens's trainer, on the same activations of the same model.

    python -m benchmarks.training_quality --model embedded:stories-12 --layers 6
    python -m benchmarks.training_quality --model DIRECTORY --gguf-file FILE --layers 10 20 \
        --text train.jsonl --held-out held_out.jsonl --n-tokens 500000

TopK SAEs. SAELens's trainer runs twice: with the learning rate and batch that its runner has by default, and with ours.
Explained variance and dead features are measured on the same held-out tokens, attention sinks left out: they hold most
of the variance of some layers, and an SAE that explains them alone seems to explain nearly everything.
"""

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import NamedTuple

import lightning as L
import torch
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor
from torch.utils.data import DataLoader

from analogue.corpus import read_texts, tokenise
from analogue.models import LanguageModel, ResidualStream, open_model
from analogue.quiet import quiet_libraries
from analogue.saes import Quality, ReconstructionQuality
from analogue.settings import default_k
from analogue.training.module import SAETraining
from analogue.training.sae import SAEUnderTraining, new_sae
from analogue.training.settings import (
    SCALED_ONCE,
    default_batch_tokens,
    default_dead_after_tokens,
    default_learning_rate,
)
from benchmarks.clock import now
from benchmarks.rows import Rows

SEQ_LEN, SEQUENCES_PER_PASS = 300, 8
OUTLIERS = 10.0
SAELENS_LEARNING_RATE, SAELENS_BATCH = 3e-4, 4096  # of its LanguageModelSAERunnerConfig
SAMPLE = 8192


class Trained(NamedTuple):
    """An SAE that reads the stream as it is, and what training it took."""

    sae: SAEUnderTraining
    seconds: float


def activations(
    model: LanguageModel, stream: ResidualStream, path: str, layers: list[int], n_tokens: int
) -> dict[int, Tensor]:
    """The residual stream of the first tokens of a text, by layer."""
    n_sequences = n_tokens // SEQ_LEN
    sequences = tokenise(read_texts(path), model.tokenizer, n_sequences, SEQ_LEN, packing=True)
    ids, mask = torch.from_numpy(sequences.ids), torch.from_numpy(sequences.mask)
    passes = zip(ids.split(SEQUENCES_PER_PASS), mask.split(SEQUENCES_PER_PASS), strict=True)
    parts = [stream(*some, layers) for some in passes]
    return {layer: torch.cat([part[layer].flatten(0, 1) for part in parts])[mask.flatten()] for layer in layers}


def batches(resid: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """All tokens once, mixed."""
    order = torch.randperm(len(resid), generator=torch.Generator().manual_seed(seed))
    return (resid[some] for some in order.split(size) if len(some) == size)


def fresh(d_in: int, expansion_factor: int, k: int, seed: int) -> SAEUnderTraining:
    """A TopK SAE that scales its input."""
    settings = {"k": k, "normalize_activations": SCALED_ONCE}
    sae = new_sae("topk", settings, d_in, expansion_factor * d_in, seed, 0, {})
    return SAEUnderTraining(sae, 0, 10**9)


def by_ours(resid: Tensor, each: SAEUnderTraining, seed: int) -> Trained:
    """With the defaults of `analogue.train`."""
    size = default_batch_tokens(len(resid))
    n_steps = len(resid) // size
    each.dead_after_tokens = default_dead_after_tokens(len(resid))
    module = SAETraining(
        {"a": each},
        default_learning_rate(n_steps),
        round(0.02 * n_steps),
        round(0.2 * n_steps),
        b_dec_init_method="mean",
        exclude_outliers=OUTLIERS,
        sample=lambda: {0: resid[:: max(1, len(resid) // SAMPLE)]},
    )
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, limit_val_batches=0, enable_checkpointing=False, **quiet)  # type: ignore[arg-type]
    began = now()
    trainer.fit(module, DataLoader([{0: each} for each in batches(resid, size, seed)], batch_size=None))
    return Trained(each, now() - began)


def by_saelens(resid: Tensor, each: SAEUnderTraining, seed: int, learning_rate: float, size: int) -> Trained:
    """With SAELens's trainer: bias at zeros, every token, its own warm-up and decay."""
    n_steps = len(resid) // size
    each.start(resid[:: max(1, len(resid) // SAMPLE)])
    cfg = SAETrainerConfig(
        n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=n_steps * size,
        device="cpu", autocast=False, lr=learning_rate, lr_end=learning_rate / 10, lr_scheduler_name="constant",
        lr_warm_up_steps=min(1000, n_steps // 10), adam_beta1=0.9, adam_beta2=0.999, lr_decay_steps=n_steps // 5,
        n_restart_cycles=1, train_batch_size_samples=size, dead_feature_window=min(1000, n_steps // 10),
        feature_sampling_window=2000, logger=LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    scaled = (batch * each.input_scale for batch in cycle(batches(resid, size, seed)))
    began = now()
    SAETrainer(cfg, each.sae, scaled).fit()
    return Trained(each, now() - began)


@torch.no_grad()
def quality(each: SAEUnderTraining, held_out: Tensor) -> Quality:
    """On held-out tokens that are no outliers."""
    metric = ReconstructionQuality(each.sae.cfg.d_in, each.sae.cfg.d_sae)
    for resid in held_out.split(4096):
        metric.update(resid, *each.reconstruct(resid))
    return metric.compute()


def main() -> None:
    """Print the table, a row as each SAE is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded:stories-12")
    parser.add_argument("--gguf-file")
    parser.add_argument("--layers", type=int, nargs="+", default=[6])
    parser.add_argument("--text", default="embedded:stories/train.parquet")
    parser.add_argument("--held-out", default="embedded:stories/heldout.parquet")
    parser.add_argument("--n-tokens", type=int, default=500_000)
    parser.add_argument("--n-held-out", type=int, default=49_152)
    parser.add_argument("--k", type=int)
    parser.add_argument("--expansion-factor", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    named = {"gguf_file": arguments.gguf_file} if arguments.gguf_file else {}
    model = open_model(arguments.model, **named)
    stream = model.load()
    began = now()
    train, held_out = (
        activations(model, stream, path, arguments.layers, n_tokens)
        for path, n_tokens in ((arguments.text, arguments.n_tokens), (arguments.held_out, arguments.n_held_out))
    )
    n_read = sum(len(each[arguments.layers[0]]) for each in (train, held_out))
    print(f"{arguments.model}: {n_read:,} tokens read at {n_read / (now() - began):,.0f} per second")
    k = arguments.k or default_k(model.d_model)
    size = default_batch_tokens(arguments.n_tokens)
    learning_rate = default_learning_rate(arguments.n_tokens // size)
    trainers = {
        "analogue": by_ours,
        "SAELens, its defaults": partial(by_saelens, learning_rate=SAELENS_LEARNING_RATE, size=SAELENS_BATCH),
        "SAELens, our step": partial(by_saelens, learning_rate=learning_rate, size=size),
    }
    rows = Rows("layer", "trainer", "explained variance", "L0", "dead", "seconds", width=7)
    for layer in arguments.layers:
        norms = held_out[layer].norm(dim=1)
        counted = held_out[layer][norms <= OUTLIERS * norms.median()]
        for name, train_with in trainers.items():
            each = fresh(model.d_model, arguments.expansion_factor, k, arguments.seed)
            trained = train_with(train[layer], each, arguments.seed)
            found = quality(trained.sae, counted)
            numbers = f"{found.explained_variance:.3f}", f"{found.l0:.1f}", f"{found.dead_fraction:.1%}"
            rows.add(str(layer), name, *numbers, f"{trained.seconds:.0f}")


if __name__ == "__main__":
    with quiet_libraries():
        main()
