"""Quality of SAEs trained by `analogue.train` and by other libraries' own trainers, on the same activations.

    python -m benchmarks.training_quality --model embedded:stories-12 --layers 6
    python -m benchmarks.training_quality --model DIRECTORY --gguf-file FILE --layers 10 20 \
        --text train.jsonl --held-out held_out.jsonl --n-tokens 500000

TopK SAEs of one width and one k. SAELens's trainer runs twice: with the learning rate and batch that its runner has by
default, and with ours. The trainers of eai-sparsify and dictionary-learning run where the packages are installed (the
latter imports nnsight: `pip install --no-deps dictionary-learning nnsight`): with their own learning rates and starts,
and with our batches, for their own would leave a run of this length a handful of steps.

Everything is measured on the same held-out tokens, attention sinks left out: they hold most of the variance of some
layers, and an SAE that explains them alone seems to explain nearly everything. "Tokens to SAELens's" are the tokens
after which the explained variance first exceeds what SAELens's trainer, at its defaults, ends with.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.util import find_spec
from io import StringIO
from itertools import cycle
from typing import NamedTuple

import lightning as L
import torch
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from analogue.corpus import TokenSequences, read_texts, tokenise
from analogue.models import LanguageModel, ResidualStream, open_model
from analogue.quiet import quiet_libraries
from analogue.saes import Quality, ReconstructionQuality
from analogue.settings import default_k
from analogue.training.held_out import cross_entropy_recovered
from analogue.training.module import SAETraining
from analogue.training.sae import SAEUnderTraining, new_sae
from analogue.training.settings import (
    SCALED_ONCE,
    default_batch_tokens,
    default_dead_after_tokens,
    default_learning_rate,
)
from analogue.training.source import ModelSource
from benchmarks.clock import now
from benchmarks.rows import Rows

SEQ_LEN, SEQUENCES_PER_PASS = 300, 8
OUTLIERS = 10.0
SAELENS_LEARNING_RATE, SAELENS_BATCH = 3e-4, 4096  # of its LanguageModelSAERunnerConfig
SAMPLE = 8192
N_PROBES, PROBE_TOKENS = 40, 4096


class Shape(NamedTuple):
    """Of the SAEs, and the seed of their weights and of the order of the tokens."""

    d_in: int
    d_sae: int
    k: int
    seed: int


class Course:
    """Serves the tokens once, mixed, and follows how the explained variance on a held-out sample rises."""

    def __init__(self, resid: Tensor, sample: Tensor, seed: int) -> None:
        self.resid, self.sample, self.seed = resid, sample, seed
        self.points: list[tuple[int, float]] = []
        self.served, self.paused = 0, 0.0

    def batches(self, size: int, sae: Callable[[], SAEUnderTraining]) -> Iterator[Tensor]:
        """Full batches; `sae` gives the SAE as it is."""
        for some in self.order().split(size):
            if len(some) == size:
                yield self.serve(some, sae)

    def order(self) -> Tensor:
        """Of the tokens."""
        return torch.randperm(len(self.resid), generator=torch.Generator().manual_seed(self.seed))

    def serve(self, some: Tensor, sae: Callable[[], SAEUnderTraining]) -> Tensor:
        """The activations of some tokens."""
        began = now()
        if self.served and self.served // (len(self.resid) // N_PROBES) > len(self.points):
            self.points.append((self.served, quality(sae(), self.sample).explained_variance))
        self.served += len(some)
        self.paused += now() - began
        return self.resid[some]

    def tokens_to(self, explained_variance: float) -> int | None:
        """Tokens after which it was exceeded; None if never before the end."""
        return next((served for served, reached in self.points if reached > explained_variance), None)


def sequences(model: LanguageModel, path: str, n_tokens: int) -> TokenSequences:
    """The first tokens of a text."""
    return tokenise(read_texts(path), model.tokenizer, n_tokens // SEQ_LEN, SEQ_LEN, packing=True)


def activations(stream: ResidualStream, of: TokenSequences, layers: list[int]) -> dict[int, Tensor]:
    """The residual stream of all tokens, by layer."""
    ids, mask = torch.from_numpy(of.ids), torch.from_numpy(of.mask)
    passes = zip(ids.split(SEQUENCES_PER_PASS), mask.split(SEQUENCES_PER_PASS), strict=True)
    parts = [stream(*some, layers) for some in passes]
    return {layer: torch.cat([part[layer].flatten(0, 1).float() for part in parts])[mask.flatten()] for layer in layers}


def fresh(shape: Shape, scaled: bool = True) -> SAEUnderTraining:
    """A TopK SAE that scales its input, or reads it as it is."""
    settings = {"k": shape.k, "normalize_activations": SCALED_ONCE if scaled else "none"}
    each = SAEUnderTraining(new_sae("topk", settings, shape.d_in, shape.d_sae, shape.seed, 0, {}), 0, 10**9)
    if not scaled:
        each.input_scale.fill_(1.0)
    return each


def by_ours(course: Course, shape: Shape) -> SAEUnderTraining:
    """With the defaults of `analogue.train`."""
    resid, each = course.resid, fresh(shape)
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
    places = [some for some in course.order().split(size) if len(some) == size]
    trainer.fit(
        module,
        DataLoader(places, batch_size=None, collate_fn=lambda some: {0: course.serve(some, lambda: each)}),  # type: ignore[arg-type]
    )
    return each


def by_saelens(course: Course, shape: Shape, learning_rate: float, size: int) -> SAEUnderTraining:
    """With SAELens's trainer: bias at zeros, every token, its own warm-up and decay."""
    resid, each = course.resid, fresh(shape)
    n_steps = len(resid) // size
    each.start(resid[:: max(1, len(resid) // SAMPLE)])
    cfg = SAETrainerConfig(
        n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=n_steps * size,
        device="cpu", autocast=False, lr=learning_rate, lr_end=learning_rate / 10, lr_scheduler_name="constant",
        lr_warm_up_steps=min(1000, n_steps // 10), adam_beta1=0.9, adam_beta2=0.999, lr_decay_steps=n_steps // 5,
        n_restart_cycles=1, train_batch_size_samples=size, dead_feature_window=min(1000, n_steps // 10),
        feature_sampling_window=2000, logger=LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    scaled = (batch * each.input_scale for batch in cycle(course.batches(size, lambda: each)))
    SAETrainer(cfg, each.sae, scaled).fit()
    return each


def by_dictionary_learning(course: Course, shape: Shape, size: int) -> SAEUnderTraining:
    """With dictionary-learning's TopK trainer: its scale, geometric median and learning rate, steps in our batches."""
    from dictionary_learning.trainers.top_k import TopKTrainer

    n_steps = len(course.resid) // size
    trainer = TopKTrainer(
        steps=n_steps, activation_dim=shape.d_in, dict_size=shape.d_sae, k=shape.k, layer=0, lm_name="",
        warmup_steps=n_steps // 10, decay_start=round(0.8 * n_steps), seed=shape.seed, device="cpu",
    )  # fmt: skip
    scale = 1 / float(course.resid[:: max(1, len(course.resid) // SAMPLE)].square().sum(1).mean().sqrt())

    def so_far() -> SAEUnderTraining:
        theirs = trainer.ae
        weights = theirs.encoder.weight.T, theirs.encoder.bias, theirs.decoder.weight.T, theirs.b_dec
        return holding(shape, *weights, input_scale=scale)

    for step, batch in enumerate(course.batches(size, so_far)):
        trainer.update(step, batch * scale)
    return so_far()


def by_sparsify(course: Course, shape: Shape, size: int) -> SAEUnderTraining:
    """With eai-sparsify's trainer and its defaults (signum, start at the mean), reading stored activations."""
    from sparsify import SparseCoderConfig, TrainConfig, Trainer

    positions = [{"input_ids": some} for some in course.order().split(64) if len(some) == 64]
    with tempfile.TemporaryDirectory() as directory:
        config = TrainConfig(
            SparseCoderConfig(num_latents=shape.d_sae, k=shape.k), batch_size=size // 64, hookpoints=["stored"],
            init_seeds=[shape.seed], log_to_wandb=False, save_every=10**9, save_dir=directory,
        )  # fmt: skip
        stored = StoredActivations(course)
        trainer = Trainer(config, positions, stored)
        theirs = trainer.saes["stored"]
        stored.so_far = lambda: holding(shape, theirs.encoder.weight.T, theirs.encoder.bias, theirs.W_dec, theirs.b_dec)
        trainer.fit()
    return stored.so_far()


class StoredActivations(nn.Module):
    """What eai-sparsify takes for a language model: its "token ids" are places in the stored activations."""

    def __init__(self, course: Course) -> None:
        super().__init__()
        self.course, self.stored, self.device = course, nn.Identity(), torch.device("cpu")
        self.dummy_inputs = {"input_ids": torch.zeros((1, 1), dtype=torch.int64)}
        self.so_far: Callable[[], SAEUnderTraining] | None = None

    @property
    def base_model(self) -> nn.Module:
        """Where the hook is."""
        return self

    def forward(self, input_ids: Tensor) -> Tensor:
        """The activations of places."""
        if self.so_far is None:
            rows = self.course.resid[input_ids]
        else:
            rows = self.course.serve(input_ids.flatten(), self.so_far).unflatten(0, input_ids.shape)
        return self.stored(rows)  # type: ignore[no-any-return]


@torch.no_grad()
def holding(
    shape: Shape, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, b_dec: Tensor, input_scale: float = 1.0
) -> SAEUnderTraining:
    """An SAE of ours with weights of another library, which has it read the input times `input_scale`."""
    each = fresh(shape, scaled=False)
    each.input_scale.fill_(input_scale)
    each.sae.cfg.apply_b_dec_to_input, each.sae.cfg.rescale_acts_by_decoder_norm = True, False
    for name, weights in {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}.items():
        getattr(each.sae, name).copy_(weights)
    return each


@torch.no_grad()
def quality(each: SAEUnderTraining, held_out: Tensor) -> Quality:
    """On held-out tokens that are no outliers."""
    metric = ReconstructionQuality(each.sae.cfg.d_in, each.sae.cfg.d_sae)
    for resid in held_out.split(4096):
        metric.update(resid, *each.reconstruct(resid))
    return metric.compute()


def trainers(n_tokens: int) -> dict[str, Callable[[Course, Shape], SAEUnderTraining]]:
    """By name; SAELens at its defaults first, for the others are measured against it."""
    size = default_batch_tokens(n_tokens)
    learning_rate = default_learning_rate(n_tokens // size)
    found: dict[str, Callable[[Course, Shape], SAEUnderTraining]] = {
        "SAELens": partial(by_saelens, learning_rate=SAELENS_LEARNING_RATE, size=SAELENS_BATCH),
        "SAELens, our step": partial(by_saelens, learning_rate=learning_rate, size=size),
    }
    if find_spec("dictionary_learning"):
        found["dictionary-learning"] = partial(by_dictionary_learning, size=size)
    if find_spec("sparsify"):
        found["eai-sparsify"] = partial(by_sparsify, size=size)
    return found | {"analogue": by_ours}


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
    parser.add_argument("--dtype", default="float32", help="of the model while the activations are read")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    named = {"gguf_file": arguments.gguf_file} if arguments.gguf_file else {}
    model = open_model(arguments.model, **named)
    reading, stream = model.load(arguments.dtype), model.load(with_head=True)
    began = now()
    texts = (arguments.text, arguments.n_tokens), (arguments.held_out, arguments.n_held_out)
    of_training, of_held_out = (sequences(model, path, n_tokens) for path, n_tokens in texts)
    train, held_out = (activations(reading, each, arguments.layers) for each in (of_training, of_held_out))
    n_read = of_training.n_tokens + of_held_out.n_tokens
    print(f"{arguments.model}: {n_read:,} tokens read at {n_read / (now() - began):,.0f} per second")
    shape = Shape(
        model.d_model,
        arguments.expansion_factor * model.d_model,
        arguments.k or default_k(model.d_model),
        arguments.seed,
    )
    ids, mask = (torch.from_numpy(each[:16]) for each in (of_held_out.ids, of_held_out.mask))
    columns = "explained variance", "loss recovered", "L0", "dead", "tokens to SAELens's", "seconds"
    rows = Rows("layer", "trainer", *columns, width=7)
    for layer in arguments.layers:
        norms = held_out[layer].norm(dim=1)
        limit = OUTLIERS * norms.median()
        counted = held_out[layer][norms <= limit]
        of_saelens = 1.0
        for name, train_with in trainers(arguments.n_tokens).items():
            course = Course(train[layer], counted[:PROBE_TOKENS], arguments.seed)
            began = now()
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                each = train_with(course, shape)
            seconds = now() - began - course.paused
            each.layer = layer
            each.largest_norm.fill_(limit)
            text = ModelSource(stream, ids, mask, mask, [layer])
            found, recovered = quality(each, counted), cross_entropy_recovered(text, {"": each})[""]
            of_saelens = quality(each, course.sample).explained_variance if name == "SAELens" else of_saelens
            reached = course.tokens_to(of_saelens)
            numbers = (
                f"{found.explained_variance:.3f}",
                f"{recovered:.3f}",
                f"{found.l0:.1f}",
                f"{found.dead_fraction:.1%}",
            )
            rows.add(str(layer), name, *numbers, f"{reached:,}" if reached else "-", f"{seconds:.0f}")


if __name__ == "__main__":
    with quiet_libraries():
        main()
