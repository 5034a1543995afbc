"""Step 1: each side's feature activations, found in the store or computed by one pass of the models over the corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import CatMetric

from analogue.comparison.cache import ActivationCache
from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.sides import OpenSide
from analogue.corpus import TokenBatch, TokenDataModule
from analogue.errors import InvalidArgument, renamed_arguments, warn
from analogue.features import ActivationCollector, StoredActivations, TokenNorms, outliers
from analogue.models import ResidualStream
from analogue.quiet import quiet_libraries
from analogue.saes import ReconstructionQuality, misfit_warnings, reconstruction_of, target_of
from analogue.settings import Cache
from analogue.trainer import check_precision, check_whole_passes, trainer_on

CONSPICUOUS = 10
"""A warning says where tokens have more than this many times the median norm."""
TOKENS_PER_ENCODING = 4096  # bounds the dense (tokens, d_sae) array that an SAE puts out


@dataclass(frozen=True)
class Collected:
    """The activations of both sides.

    Attributes:
        activations: each side's, by its label, on its own tokens.
        keys: their names in the store.
        from_cache: the labels whose activations were in the store.
        n_model_passes: how often a model went over the corpus.
    """

    activations: dict[str, StoredActivations]
    keys: dict[str, str]
    from_cache: set[str]
    n_model_passes: int


def collect_activations(
    sides: Sequence[OpenSide],
    corpus: TokenisedCorpus,
    trainer: L.Trainer | None = None,
    cache: Cache | None = None,
    batch_size: int = 10,
) -> Collected:
    """Find each side's activations in the store, or compute them in `Trainer.test`; sides of one model share a pass.

    Args:
        sides: the opened sides.
        corpus: what they read.
        trainer: a Lightning trainer, each rank of which gets all activations; None for one process without a progress
            bar, on a GPU where there is one.
        cache: None to compute everything and keep nothing on disk.
        batch_size: sequences per forward pass.

    Raises:
        ArgumentError: the model's weights cannot be read, its activations are not finite, or the store's directory
            cannot be written to.
    """
    trainer = trainer or trainer_on("auto", progress=False)
    check_precision(trainer, ", and `a.dtype` and `a.sae_dtype` for weights of another precision")
    check_whole_passes(trainer)
    fewest = min(len(sequences.ids) for sequences in corpus.sequences.values())
    if trainer.world_size > fewest:
        problem = f"is more than the text's {fewest} sequences, which its ranks share; use fewer, or more text"
        raise InvalidArgument("trainer.devices", trainer.world_size, problem)
    n_tokens = {label: sequences.n_tokens for label, sequences in corpus.sequences.items()}
    activations = ActivationCache(sides, corpus.fingerprints(), n_tokens, str(trainer.precision), cache)
    module = ActivationPass(activations)
    try:
        with quiet_libraries():
            trainer.test(module, TokenDataModule(corpus.streams(), batch_size), verbose=False)
        from_cache = set(activations.keys) - module.computed
        return Collected(activations.found, activations.keys, from_cache, len(module.passes))
    finally:
        activations.release()
        module.release()


def without_outliers(
    sides: Sequence[OpenSide],
    corpus: TokenisedCorpus,
    factor: float,
    trainer: L.Trainer | None = None,
    cache: Cache | None = None,
    batch_size: int = 10,
) -> tuple[TokenisedCorpus, int]:
    """Leave out tokens whose norm, in the stream that either side reads, is more than `factor` times the median.

    The norms are those of the tokens that count, computed and stored as activations are; see `collect_activations`.

    Returns:
        The corpus, and how often a model went over it.
    """
    norms = [read_by(side, TokenNorms(side.sae.cfg.d_in), "norms") for side in sides]
    cache = cache and replace(cache, layers_a=(), layers_b=())
    collected = collect_activations(norms, corpus, trainer, cache, batch_size)
    left = {}
    for label, sequences in corpus.sequences.items():
        of_tokens = collected.activations[label].activations.to_scipy().toarray()[:, 0]
        counted = sequences.counted.copy()
        counted[sequences.counted] = ~outliers(of_tokens, factor)
        left[label] = replace(sequences, counted=counted)
    return corpus.without("outliers", left), collected.n_model_passes


def read_by(side: OpenSide, module: Any, name: str) -> OpenSide:
    """A side whose SAE is replaced by something else."""
    return replace(side, sae=module, sae_fingerprint=name, is_trained=False)


class ActivationPass(L.LightningModule):
    """Computes what the cache lacks in `Trainer.test`; sides that share a model share the pass.

    Each data loader serves the tokens of one fingerprint, in the order in which `cache.tokens` names them first.
    """

    def __init__(self, cache: ActivationCache) -> None:
        super().__init__()
        self.cache = cache
        self.computed: set[str] = set()
        self.sides: Mapping[str, OpenSide] = {}  # by their keys
        self.passes: list[list[OpenSide]] = []

    def setup(self, stage: str) -> None:
        missing = self.cache.missing(self.trainer)
        self.computed = {label for label, key in self.cache.keys.items() if key in missing}
        self.sides = missing
        in_order = sorted(missing.values(), key=self._pass_of)
        self.passes = [list(group) for _, group in groupby(in_order, key=self._pass_of)]
        self.streams: Sequence[ResidualStream] = nn.ModuleList(map(_load, self.passes))  # type: ignore[assignment]
        self.saes: Mapping[str, Any] = nn.ModuleDict({key: side.sae for key, side in missing.items()})  # type: ignore[assignment]
        self.collectors: Mapping[str, ActivationCollector] = nn.ModuleDict(  # type: ignore[assignment]
            {key: ActivationCollector(side.d_sae) for key, side in missing.items()}
        )
        self.quality: Mapping[str, ReconstructionQuality] = nn.ModuleDict(  # type: ignore[assignment]
            {key: ReconstructionQuality(side.d_out, side.d_sae) for key, side in missing.items()}
        )
        self.norms: Mapping[str, CatMetric] = nn.ModuleDict({key: CatMetric() for key in missing})  # type: ignore[assignment]

    def test_step(self, batch: TokenBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        fingerprint = [*dict.fromkeys(self.cache.tokens.values())][dataloader_idx]
        seq_len = batch.ids.shape[1]
        position = batch.sequence_index[:, None] * seq_len + torch.arange(seq_len, device=batch.ids.device)
        for stream, sides in zip(self.streams, self.passes, strict=True):
            if self.cache.tokens[sides[0].label] != fingerprint:
                continue
            with renamed_arguments(hook=f"{sides[0].label}.hook"):
                read = _read(stream, batch, sides)
            for side in sides:
                counted = read[side.layer, side.model.hook][batch.counted]
                _check_activations(counted, side)
                written = read[side.writes][batch.counted] if side.writes else None
                self._encode(self.cache.key_of(side), position[batch.counted], counted, written)
                if batch_idx == 0 and self.trainer.is_global_zero and side.is_trained:
                    self._warn_of_misfit(side, first_tokens_count=bool(batch.counted[:, 0].any()))

    def on_test_epoch_end(self) -> None:
        for key, collector in self.collectors.items():
            norms = self.norms[key].compute().cpu().numpy()
            facts = {"n_outliers": int(outliers(norms, CONSPICUOUS).sum())} | self.quality[key].compute()._asdict()
            stored = StoredActivations(collector.activations(), facts)
            self.cache.add(key, self.sides[key], stored, keep=self.trainer.is_global_zero)
        self.cache.release()

    def release(self) -> None:
        """Let go of models and SAEs, also after a failure.

        Lightning's trainer and its module refer to each other, so that Python would keep those of a multirun's earlier
        jobs in memory.
        """
        self._modules.clear()
        self.sides, self.passes = {}, []
        del self.cache
        torch.cuda.empty_cache()  # pairing and nulls ask how much memory is free

    def _pass_of(self, side: OpenSide) -> tuple[str, str]:
        """Tokens and model of a side; sides for which both are equal share a pass."""
        return self.cache.tokens[side.label], side.model_identity

    def _encode(self, key: str, position: Tensor, read: Tensor, written: Tensor | None) -> None:
        sae = self.saes[key]
        for start in range(0, len(position), TOKENS_PER_ENCODING):
            some = slice(start, start + TOKENS_PER_ENCODING)
            self.norms[key].update(read[some].float().norm(dim=-1))
            acts = sae.encode(read[some])
            self.collectors[key].update(position[some], acts)
            target = target_of(sae, read[some], None if written is None else written[some])
            self.quality[key].update(target, reconstruction_of(sae, read[some], acts), acts)

    def _warn_of_misfit(self, side: OpenSide, first_tokens_count: bool) -> None:
        """Warn after the first batch, on which a misfit shows already, instead of at the end of a long run."""
        explained = self.quality[self.cache.key_of(side)].so_far().explained_variance
        of_what = f"layer {side.layer} of {side.model.name}"
        reason = side.reason_to_explain_little
        for warning in misfit_warnings(explained, of_what, first_tokens_count, reason=reason):
            warn(f"on the first batch, SAE {side.label} {warning}")


def _load(sides: Sequence[OpenSide]) -> ResidualStream:
    with renamed_arguments(model=f"{sides[0].label}.model", device_map=f"{sides[0].label}.device_map"):
        return sides[0].model.load(sides[0].settings.dtype)


def _read(stream: ResidualStream, batch: TokenBatch, sides: Sequence[OpenSide]) -> dict[tuple[int, str], Tensor]:
    """What the sides of one pass read, and what transcoders among them predict, by layer and hook."""
    written = {side.writes for side in sides if side.writes}
    if written:
        return stream.read(batch.ids, batch.mask, [*{(side.layer, side.model.hook) for side in sides}, *written])
    hook = sides[0].model.hook
    read = stream(batch.ids, batch.mask, [side.layer for side in sides])
    return {(layer, hook): activations for layer, activations in read.items()}


def _check_activations(read: Tensor, side: OpenSide) -> None:
    if read.shape[-1] != side.sae.cfg.d_in:
        problem = (
            f"reads activations of width {side.sae.cfg.d_in}, but {side.model.hook} of {side.model.name} has width"
        )
        problem += f" {read.shape[-1]}; choose an SAE trained on that model"
        raise InvalidArgument(f"{side.label}.sae", side.sae_name, problem)
    check_finite(read, side)


def check_finite(read: Tensor, side: OpenSide) -> None:
    """Raise `InvalidArgument` unless all that was read of a side's model is finite."""
    if not read.isfinite().all():
        problem = f"puts out values that are not finite after block {side.layer} in {side.settings.dtype}"
        fix = f"choose another `{side.label}.dtype` (bfloat16, float32), or check the model's weights"
        raise InvalidArgument(f"{side.label}.model", side.model.name, f"{problem}; {fix}")
