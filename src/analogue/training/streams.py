"""Opens what a training run reads: text, the model, and the streams of its activations."""

import logging
from math import ceil
from pathlib import Path

import torch
from platformdirs import user_cache_path

from analogue.corpus import TokenSequences, read_texts, tokenise, without_bos
from analogue.features import content_key
from analogue.models import LanguageModel
from analogue.training.activations import ActivationStream
from analogue.training.config import Activations, TrainSAEConfig
from analogue.training.datamodule import ActivationDataModule, share_of
from analogue.training.held_out import HeldOutText
from analogue.training.mixing import MixingPlan
from analogue.training.reading import FromModel, store_activations

log = logging.getLogger(__name__)


def open_streams(config: TrainSAEConfig, language_model: LanguageModel) -> ActivationDataModule:
    """The training stream, a shorter one of held-out text, and that text itself, over one model."""
    data, n_held_out = config.data, config.evaluation.n_tokens
    language_model.check_seq_len(data.seq_len)
    training = _sequences(config, language_model, data.path, "data.path", data.split, config.n_tokens)
    held_out = _sequences(
        config, language_model, data.held_out_path, "data.held_out_path", data.held_out_split, n_held_out
    )
    _warn_of_repetition(config, training)
    model = language_model.load(config.model.dtype, with_head=True)

    def reader(sequences: TokenSequences, rank: int, n_ranks: int) -> FromModel:
        ids, mask, counted = (torch.from_numpy(each) for each in (sequences.ids, sequences.mask, sequences.counted))
        return FromModel(model, ids[rank::n_ranks], mask[rank::n_ranks], counted[rank::n_ranks], config.layers)

    def open_training(rank: int, n_ranks: int) -> ActivationStream:
        source = reader(training, rank, n_ranks)
        plan = MixingPlan(
            source.lengths,
            share_of(config.batch_tokens, n_ranks),
            config.buffer.tokens // n_ranks,
            config.buffer.sequences_per_pass,
            config.seed,
        )
        cached = config.data.activations is Activations.cached
        read = (
            store_activations(source, _directory(config, language_model, training, rank, n_ranks)) if cached else source
        )
        return ActivationStream(plan, read, config.layers, config.n_tokens // config.batch_tokens)

    def open_evaluation(rank: int, n_ranks: int) -> ActivationStream:
        source, batch_tokens = reader(held_out, rank, n_ranks), share_of(config.batch_tokens, n_ranks)
        plan = MixingPlan(source.lengths, batch_tokens, 0, config.buffer.sequences_per_pass, seed=0)
        return ActivationStream(plan, source, config.layers, max(1, n_held_out // config.batch_tokens))

    whole = reader(held_out, 0, 1)
    few = slice(0, config.evaluation.n_sequences)
    text = HeldOutText(model, whole.ids[few], whole.mask[few], whole.counted[few])
    return ActivationDataModule(open_training, open_evaluation, text)


def _sequences(
    config: TrainSAEConfig, language_model: LanguageModel, path: str, key: str, split: str, n_tokens: int
) -> TokenSequences:
    data = config.data
    texts = read_texts(path, key, data.column, data.subset, split, data.shuffle_seed)
    enough = n_tokens // data.seq_len + 1 if data.packing else n_tokens
    sequences = tokenise(texts, language_model.tokenizer, enough, data.seq_len, data.packing)
    language_model.check_token_ids(int(sequences.ids.max()))
    return without_bos(sequences, language_model.tokenizer) if data.exclude_bos else sequences


def _warn_of_repetition(config: TrainSAEConfig, sequences: TokenSequences) -> None:
    if sequences.n_tokens < config.n_tokens:
        times = ceil(config.n_tokens / sequences.n_tokens)
        told = f"data.path={config.data.path} holds {sequences.n_tokens} tokens, n_tokens={config.n_tokens}"
        log.warning("%s: the text is begun %d times", told, times)


def _directory(
    config: TrainSAEConfig, language_model: LanguageModel, sequences: TokenSequences, rank: int, n_ranks: int
) -> Path:
    key = content_key(
        model=language_model.fingerprint,
        dtype=config.model.dtype,
        hook=language_model.hook,
        layers=sorted(config.layers),
        tokens=sequences.fingerprint(),
        rank=rank,
        n_ranks=n_ranks,
    )
    root = config.data.cache_dir
    return (Path(root).expanduser() if root else user_cache_path("analogue") / "training") / key
