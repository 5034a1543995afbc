"""The evaluation loop: one pass over the tokens that gathers both sides' feature activations, on every rank."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import lightning as L
import torch
from torch import Tensor, nn

from analogue.cli.checks import named_by_keys, user_errors
from analogue.comparison.ranks import activations_of_rank_0
from analogue.comparison.side import Side
from analogue.corpus import TokenBatch
from analogue.errors import UserError
from analogue.features import ActivationCollector, ActivationStore, StoredActivations
from analogue.models import ResidualStream
from analogue.saes import ReconstructionQuality, misfit_warnings

T = TypeVar("T")
TOKENS_PER_ENCODING = 4096  # bounds the dense (tokens, d_sae) array that an SAE puts out


@dataclass(frozen=True)
class Gathered:
    """What a comparison is made from.

    Attributes:
        activations: each side's, by its label.
        keys: their names in the store.
        from_cache: the labels whose activations were in the store.
        n_model_passes: how often a model went over the corpus.
    """

    activations: dict[str, StoredActivations]
    keys: dict[str, str]
    from_cache: set[str]
    n_model_passes: int


class ComparisonModule(L.LightningModule):
    """Finds each side's activations in the store, or computes them in `Trainer.test`.

    `tokens` holds the fingerprint of what each side reads, by its label. Each data loader serves the tokens of one
    fingerprint, in the order in which `tokens` names them first. `companions` opens the other layers that a side's
    pass takes along into the store. Sides that share a model share the pass.
    """

    def __init__(
        self,
        sides: list[Side],
        tokens: Mapping[str, str],
        precision: str,
        store: ActivationStore | None,
        companions: Callable[[Side], list[Side]],
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.key_of = lambda side: side.activation_key(tokens[side.label], precision)
        self.keys = {side.label: self.key_of(side) for side in sides}
        self.sides = {self.keys[side.label]: side for side in sides}
        self.store = store
        self.companions = companions
        self.evidence: dict[str, StoredActivations] = {}
        self._reservation = ExitStack()

    def setup(self, stage: str) -> None:
        to_run = self._reserve_missing()
        if self.trainer.world_size > 1:  # every rank pairs a share of the features
            self.evidence = activations_of_rank_0(self.evidence)
        self.computed = {label for label, key in self.keys.items() if key in to_run}
        in_order = sorted(to_run.values(), key=self._pass_of)
        self.passes = [list(group) for _, group in groupby(in_order, key=self._pass_of)]
        self.streams: Sequence[ResidualStream] = nn.ModuleList(  # type: ignore[assignment]
            [_load(group[0]) for group in self.passes]
        )
        self.saes: Mapping[str, Any] = nn.ModuleDict({key: side.sae for key, side in to_run.items()})  # type: ignore[assignment]
        self.collectors: Mapping[str, ActivationCollector] = nn.ModuleDict(  # type: ignore[assignment]
            {key: ActivationCollector(side.d_sae) for key, side in to_run.items()}
        )
        self.quality: Mapping[str, ReconstructionQuality] = nn.ModuleDict(  # type: ignore[assignment]
            {key: ReconstructionQuality(side.sae.cfg.d_in, side.d_sae) for key, side in to_run.items()}
        )

    def test_step(self, batch: TokenBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        fingerprint = [*dict.fromkeys(self.tokens.values())][dataloader_idx]
        position = batch.sequence_index[:, None] * batch.ids.shape[1] + torch.arange(
            batch.ids.shape[1], device=batch.ids.device
        )
        for stream, sides in zip(self.streams, self.passes, strict=True):
            if self.tokens[sides[0].label] != fingerprint:
                continue
            resid = stream(batch.ids, batch.mask, [side.layer for side in sides])
            for side in sides:
                counted = resid[side.layer][batch.counted]
                _check_finite(counted, side)
                self._encode(self.key_of(side), position[batch.counted], counted)
                if batch_idx == 0 and self.trainer.is_global_zero:
                    self._warn_of(side, first_tokens_count=bool(batch.counted[:, 0].any()))

    def on_test_epoch_end(self) -> None:
        for key, collector in self.collectors.items():
            stored = StoredActivations(collector.activations(), self.quality[key].compute()._asdict())
            self.evidence |= {label: stored for label, own in self.keys.items() if own == key}
            if self.store is not None and self.trainer.is_global_zero:
                self._keep(self.store, key, stored)
        self._reservation.close()

    def gathered(self) -> Gathered:
        """What the test has gathered."""
        from_cache = set(self.keys) - self.computed
        return Gathered(self.evidence, self.keys, from_cache, len(self.passes))

    def release(self) -> None:
        """Let go of all that is held, also after a failure.

        Lightning's trainer and its module refer to each other, so that Python would keep the language models and SAEs
        of a multirun's earlier jobs in memory.
        """
        self._reservation.close()
        self._modules.clear()
        self.sides, self.passes, self.evidence = {}, [], {}
        torch.cuda.empty_cache()  # pairing and nulls look for what is free

    def _pass_of(self, side: Side) -> tuple[str, str]:
        """Sides with the same one share a model's pass over their tokens."""
        return self.tokens[side.label], side.model_identity

    def _warn_of(self, side: Side, first_tokens_count: bool) -> None:
        """An SAE that does not fit shows on the first batch, not after the night."""
        explained = self.quality[self.key_of(side)].so_far().explained_variance
        read = f"layer {side.layer} of {side.model.name}"
        for misfit in misfit_warnings(explained, read, first_tokens_count):
            print(f"warning: on the first batch, sae_{side.label} {named_by_keys(misfit)}", file=sys.stderr)

    def _encode(self, key: str, position: Tensor, resid: Tensor) -> None:
        for some_positions, some_resid in zip(
            position.split(TOKENS_PER_ENCODING), resid.split(TOKENS_PER_ENCODING), strict=True
        ):
            acts = self.saes[key].encode(some_resid)
            self.collectors[key].update(some_positions, acts)
            self.quality[key].update(some_resid, self.saes[key].decode(acts), acts)

    def _reserve_missing(self) -> dict[str, Side]:
        """What nobody has computed, by its key; it is locked until `release`."""
        store = self.store
        if store is None:
            return self.sides
        missing = self._as_rank_0(lambda: self._look_up(store))
        if not missing:
            return {}
        companions = [each for key in missing for each in self.companions(self.sides[key])]
        wanted = self.sides | {self.key_of(each): each for each in companions}
        return {key: wanted[key] for key in self._as_rank_0(lambda: self._reserve(store, missing, wanted))}

    def _reserve(self, store: ActivationStore, missing: list[str], wanted: Iterable[str]) -> list[str]:
        """Lock what is missing; another process may have computed some of it while this one waited."""
        along = [key for key in wanted if key not in self.sides and key not in store]
        try:
            self._reservation.enter_context(store.reserve([*missing, *along]))
        except OSError as error:
            problem = f"cannot be written to ({error.strerror}); choose another directory, or cache=off"
            raise UserError("cache.dir", store.directory, problem) from error
        missing = self._look_up(store)
        return missing + [key for key in along if key not in store] if missing else []

    @staticmethod
    def _keep(store: ActivationStore, key: str, stored: StoredActivations) -> None:
        """A store that cannot take them costs the next job a pass, not this one its result."""
        try:
            store.put(key, stored)
        except OSError as error:
            print(f"warning: cache.dir={store.directory} does not keep these activations: {error}", file=sys.stderr)

    def _look_up(self, store: ActivationStore) -> list[str]:
        found: dict[str, Any] = {key: store.get(key) for key in self.sides}
        self.evidence = {label: found[key] for label, key in self.keys.items() if found[key] is not None}
        return [key for key, stored in found.items() if stored is None]

    def _as_rank_0(self, look: Callable[[], T]) -> T:
        """What rank 0 finds, on every rank: the store may change between two looks."""
        return self.trainer.strategy.broadcast(look() if self.trainer.is_global_zero else None)  # type: ignore


def _load(side: Side) -> ResidualStream:
    with user_errors(model=f"model_{side.label}.name", device_map=f"model_{side.label}.device_map"):
        return side.model.load(side.model_dtype)


def _check_finite(resid: Tensor, side: Side) -> None:
    if not resid.isfinite().all():
        problem = f"puts out values that are not finite after block {side.layer} in {side.model_dtype}"
        fix = f"choose another model_{side.label}.dtype (bfloat16, float32), or check the model's weights"
        raise UserError(f"model_{side.label}.name", side.model.name, f"{problem}; {fix}")
