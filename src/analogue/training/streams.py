"""Opens what a training run reads: text, the model, and the streams of its activations."""

import logging
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from platformdirs import user_cache_path

from analogue.cli.checks import user_errors
from analogue.cli.schema import ActivationSource, TrainSAEConfig
from analogue.corpus import TokenSequences, read_texts, tokenise, without_bos
from analogue.errors import UserError
from analogue.features import content_key
from analogue.models import LanguageModel, ResidualStream
from analogue.training.activations import ActivationStream
from analogue.training.datamodule import ActivationDataModule, share_of
from analogue.training.held_out import HeldOutText
from analogue.training.mixing import MixingPlan
from analogue.training.reading import FromModel, store_activations

log = logging.getLogger(__name__)


def open_streams(config: TrainSAEConfig, language_model: LanguageModel) -> ActivationDataModule:
    """The training stream, a shorter one of held-out text, and that text itself, over one model."""
    data = config.data
    with user_errors(model="model.name"):
        language_model.check_seq_len(data.seq_len)
    training = _sequences(config, language_model, data.path, "data.path", data.split, config.n_tokens)
    held_out = _sequences(
        config,
        language_model,
        data.held_out_path,
        "data.held_out_path",
        data.held_out_split,
        config.evaluation.n_tokens,
    )
    _warn_of_repetition(config, training)
    with user_errors(model="model.name", device_map="model.device_map"):
        model = language_model.load(config.model.dtype, with_head=True)
    shares = Shares(config, language_model, model, training, held_out)
    return ActivationDataModule(shares.training_stream, shares.evaluation_stream, shares.held_out_text())


@dataclass(frozen=True, eq=False)
class Shares:
    """What each rank reads of a run's text: every n-th sequence, and its share of each batch."""

    config: TrainSAEConfig
    language_model: LanguageModel
    model: ResidualStream
    training: TokenSequences
    held_out: TokenSequences

    def training_stream(self, rank: int, n_ranks: int) -> ActivationStream:
        """All batches of training; activations from the model, or from disk."""
        config, source = self.config, self._source(self.training, rank, n_ranks)
        cached = config.data.activations is ActivationSource.cached
        read = store_activations(source, self._directory(rank, n_ranks)) if cached else source
        n_batches = config.n_tokens // config.batch_tokens
        return ActivationStream(
            self._plan(source, n_ranks, config.buffer.tokens, config.seed), read, config.layers, n_batches
        )

    def evaluation_stream(self, rank: int, n_ranks: int) -> ActivationStream:
        """Batches of the held-out text, no token of which is needed twice."""
        config, source = self.config, self._source(self.held_out, rank, n_ranks)
        n_tokens = min(config.evaluation.n_tokens, self.held_out.n_tokens)
        n_batches = max(1, n_tokens // config.batch_tokens)
        return ActivationStream(self._plan(source, n_ranks, 0, 0), source, config.layers, n_batches)

    def held_out_text(self) -> HeldOutText:
        """The sequences on which the language model's own loss is measured."""
        whole, few = self._source(self.held_out, 0, 1), slice(0, self.config.evaluation.n_sequences)
        return HeldOutText(self.model, whole.ids[few], whole.mask[few], whole.counted[few])

    def _source(self, sequences: TokenSequences, rank: int, n_ranks: int) -> FromModel:
        every = slice(rank, None, n_ranks)
        ids, mask, counted = (
            torch.from_numpy(each[every]) for each in (sequences.ids, sequences.mask, sequences.counted)
        )
        if not counted.any():  # the text would be read over and over, and never give a batch
            problem = f"is more than the text's {sequences.n_sequences} sequences can be shared out to"
            raise UserError("trainer.devices", n_ranks, problem)
        return FromModel(self.model, ids, mask, counted, self.config.layers)

    def _plan(self, source: FromModel, n_ranks: int, buffer_tokens: int, seed: int) -> MixingPlan:
        batch_tokens, at_once = share_of(self.config.batch_tokens, n_ranks), self.config.buffer.sequences_per_pass
        return MixingPlan(source.lengths, batch_tokens, buffer_tokens // n_ranks, at_once, seed)

    def _directory(self, rank: int, n_ranks: int) -> Path:
        key = content_key(
            model=self.language_model.fingerprint,
            dtype=self.config.model.dtype,
            hook=self.language_model.hook,
            layers=sorted(self.config.layers),
            tokens=self.training.fingerprint(),
            rank=rank,
            n_ranks=n_ranks,
        )
        root = self.config.data.cache_dir
        return (Path(root).expanduser() if root else user_cache_path("analogue") / "training") / key


def _sequences(
    config: TrainSAEConfig, language_model: LanguageModel, path: str, key: str, split: str, n_tokens: int
) -> TokenSequences:
    data = config.data
    enough = n_tokens // data.seq_len + 1 if data.packing else n_tokens
    with user_errors(path=key, model="model.name"):
        texts = read_texts(path, data.column, data.subset, split, data.shuffle_seed)
        sequences = tokenise(texts, language_model.tokenizer, enough, data.seq_len, data.packing)
        language_model.check_token_ids(int(sequences.ids.max()))
    sequences = without_bos(sequences, language_model.tokenizer) if data.exclude_bos else sequences
    if not sequences.n_tokens:
        raise UserError(key, path, "holds no token that counts (data.exclude_bos leaves out the first of each text)")
    return sequences


def _warn_of_repetition(config: TrainSAEConfig, sequences: TokenSequences) -> None:
    if sequences.n_tokens < config.n_tokens:
        times = ceil(config.n_tokens / sequences.n_tokens)
        told = f"data.path={config.data.path} holds {sequences.n_tokens} tokens, n_tokens={config.n_tokens}"
        log.warning("%s: the text is begun %d times", told, times)
