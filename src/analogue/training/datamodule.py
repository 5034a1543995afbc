"""Text to the activation streams of a training run, each rank's share of them."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from analogue.corpus import TokenSequences, padded, read_texts, token_rows, without_bos, without_special
from analogue.errors import InvalidArgument, warn
from analogue.features import content_key
from analogue.models import LanguageModel, ResidualStream
from analogue.settings import Text
from analogue.training.settings import TrainingPlan
from analogue.training.source import ActivationBatch, ModelSource, store_activations
from analogue.training.stream import ActivationStream, MixingPlan

ROWS_AT_ONCE = 256  # sequences that are read between two checks whether they are enough
SCALE_BATCHES = 8  # on which the scale of the SAEs' input is estimated


def tokenised(text: Text, language_model: LanguageModel, plan: TrainingPlan, n_tokens: int) -> TokenSequences:
    """The first sequences of a text, of `plan.seq_len`, that hold more than `n_tokens` that count; or else all of them.

    Raises:
        ArgumentError: the text (`path`) cannot be read, no token in it counts, or the tokenizer is another model's.
    """
    documents = read_texts(
        text.path, column=text.column, subset=text.subset, split=text.split, shuffle_seed=text.shuffle_seed
    )
    rows = token_rows(documents, language_model.tokenizer, plan.seq_len, plan.packing)
    parts, n_read = [_counted([], language_model, plan)], 0
    while n_read <= n_tokens and (some := list(islice(rows, ROWS_AT_ONCE))):
        parts.append(_counted(some, language_model, plan))
        n_read += parts[-1].n_tokens
    if not n_read:
        excluding = [name for name in ("exclude_bos", "exclude_special") if getattr(plan, name)]
        problem = f"holds no token that counts with {' and '.join(f'`{name}`' for name in excluding)}"
        raise InvalidArgument("path", text.name, problem)
    sequences = TokenSequences.joined(parts)
    n_until = np.cumsum(sequences.counted.sum(axis=1))  # tokens that count, up to each sequence
    sequences = sequences[: int(np.searchsorted(n_until, n_tokens, side="right")) + 1]
    language_model.check_token_ids(int(sequences.ids.max(initial=0)))
    return sequences


def _counted(rows: list[list[int]], language_model: LanguageModel, plan: TrainingPlan) -> TokenSequences:
    tokenizer = language_model.tokenizer
    sequences = padded(rows, plan.seq_len, tokenizer)
    sequences = without_bos(sequences, tokenizer) if plan.exclude_bos else sequences
    return without_special(sequences, tokenizer) if plan.exclude_special else sequences


class ActivationDataModule(L.LightningDataModule):
    """Serves two streams of activations: one for training, a shorter one of held-out text for evaluation.

    Rank r of R reads sequences r, r + R, r + 2R, ... and serves its share of each batch. A checkpoint of it is the
    number of batches that training has had.

    Args:
        language_model: what `model` was loaded from.
        model: reads the sequences; moved to the trainer's device.
        plan: of the run.
        training: sequences to train on; read over and over if the run needs more tokens.
        held_out: sequences to measure on.
        text_name: what errors call the text.

    Attributes:
        training_share: after `setup`, this rank's training stream.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        model: ResidualStream,
        plan: TrainingPlan,
        training: TokenSequences,
        held_out: TokenSequences,
        text_name: str = "<text>",
    ) -> None:
        super().__init__()
        self.language_model, self.model, self.plan = language_model, model, plan
        self.training, self.held_out = training, held_out
        self._start, self._text_name = 0, text_name
        if training.n_tokens < plan.n_tokens:
            problem = f"`corpus` holds {training.n_tokens:,} tokens that count, `n_tokens`={plan.n_tokens:,}"
            times = plan.n_tokens / training.n_tokens
            warn(f"{problem}: the text is read {times:,.1f} times")

    def setup(self, stage: str) -> None:
        trainer: Any = self.trainer
        self.model.to(trainer.strategy.root_device)
        share = trainer.global_rank, trainer.world_size
        self.training_share = self.training_stream(*share, progress=trainer.progress_bar_callback is not None)
        self.held_out_share = self.held_out_stream(*share)

    def train_dataloader(self) -> DataLoader[ActivationBatch]:
        self.training_share.start = self._start
        return _loader(self.training_share)

    def val_dataloader(self) -> DataLoader[ActivationBatch]:
        return _loader(self.held_out_share)

    def sample(self) -> ActivationBatch:
        """Activations on which the scale of the SAEs' input is estimated, after `setup`."""
        return self.training_share.sample(SCALE_BATCHES)

    def state_dict(self) -> dict[str, Any]:
        trainer: Any = self.trainer
        return {"n_batches": trainer.global_step, **self._read_from()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for argument, fingerprint in self._read_from().items():
            if state_dict.get(argument, fingerprint) != fingerprint:  # checkpoints of earlier versions have none
                name = self.language_model.name if argument == "model" else "<text>"
                problem = (
                    "holds something else than when the checkpoint was written: leave `ckpt_path` out to begin anew"
                )
                raise InvalidArgument(argument, name, problem)
        self._start = state_dict["n_batches"]

    def _read_from(self) -> dict[str, str]:
        """What weights depend on beside the settings: fingerprints of the model and of the text."""
        return {"model": self.language_model.fingerprint, "corpus": self.training.fingerprint()}

    def training_stream(self, rank: int, n_ranks: int, progress: bool = False) -> ActivationStream:
        """A rank's share of all batches of training; activations from the model, or from disk."""
        plan, source = self.plan, self._source(self.training, rank, n_ranks)
        order = self._order(source, n_ranks, plan.buffer.tokens, plan.seed)
        if plan.cache_dir is None:
            return ActivationStream(order, source, plan.layers, plan.n_steps)
        directory = Path(plan.cache_dir).expanduser() / self._cache_key(rank, n_ranks)
        stored = store_activations(source, directory, plan.sequences_per_pass, progress)
        return ActivationStream(order, stored, plan.layers, plan.n_steps)

    def held_out_stream(self, rank: int, n_ranks: int) -> ActivationStream:
        """A rank's share of the held-out batches; no token comes twice."""
        plan, source = self.plan, self._source(self.held_out, rank, n_ranks)
        n_tokens = min(plan.evaluation.n_tokens, self.held_out.n_tokens)
        order = self._order(source, n_ranks, 0, 0)
        return ActivationStream(order, source, plan.layers, max(1, n_tokens // plan.batch_tokens))

    def held_out_text(self) -> ModelSource:
        """The sequences on which the language model's own loss is measured."""
        source, first = self._source(self.held_out, 0, 1), slice(0, self.plan.evaluation.n_sequences)
        return replace(source, ids=source.ids[first], mask=source.mask[first], counted=source.counted[first])

    def _source(self, sequences: TokenSequences, rank: int, n_ranks: int) -> ModelSource:
        every = slice(rank, None, n_ranks)
        ids, mask, counted = (
            torch.from_numpy(each[every]) for each in (sequences.ids, sequences.mask, sequences.counted)
        )
        if not counted.any():  # the text would be read over and over, and never give a batch
            problem = f"is more than the text's {sequences.n_sequences} sequences can be shared out to"
            raise InvalidArgument("trainer.devices", n_ranks, problem)
        return ModelSource(self.model, ids, mask, counted, self.plan.layers)

    def _order(self, source: ModelSource, n_ranks: int, buffer_tokens: int, seed: int) -> MixingPlan:
        batch_tokens, at_once = self.plan.batch_tokens, self.plan.sequences_per_pass
        if batch_tokens % n_ranks:  # the ranks' mean gradient would not be that of the batch
            problem = f"does not divide by the {n_ranks} ranks; choose a multiple of {n_ranks}"
            raise InvalidArgument("batch_tokens", batch_tokens, problem)
        return MixingPlan(source.lengths, batch_tokens // n_ranks, buffer_tokens // n_ranks, at_once, seed)

    def _cache_key(self, rank: int, n_ranks: int) -> str:
        return content_key(
            model=self.language_model.fingerprint,
            dtype=self.plan.dtype,
            hook=self.language_model.hook,
            layers=sorted(self.plan.layers),
            tokens=self.training.fingerprint(),
            rank=rank,
            n_ranks=n_ranks,
        )


def _loader(stream: ActivationStream) -> DataLoader[ActivationBatch]:
    # Without a generator of its own, it draws from the global one, which is the caller's.
    return DataLoader(stream, batch_size=None, generator=torch.Generator())
