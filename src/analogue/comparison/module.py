"""The evaluation loop: one pass over the tokens that gathers both sides' feature activations, on every rank."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from analogue.comparison.side import Side
from analogue.corpus import TokenBatch
from analogue.features import ActivationCollector, ActivationStore, StoredActivations
from analogue.models import ResidualStream
from analogue.saes import ReconstructionQuality

TOKENS_PER_ENCODING = 4096  # bounds the dense (tokens, d_sae) array that an SAE puts out


class ComparisonModule(L.LightningModule):
    """Finds each side's activations in the store, or computes them in `Trainer.test`.

    `tokens` holds the fingerprint of what each side reads, by its label. Each data loader serves the tokens of one
    fingerprint, in the order in which `tokens` names them first.

    After the test, `evidence` holds the activations of each side by its label, `computed` the labels whose activations
    were not in the store, and `n_model_passes` how often a model went over the corpus: sides that share a model share
    the pass.
    """

    def __init__(
        self, sides: list[Side], tokens: Mapping[str, str], precision: str, store: ActivationStore | None
    ) -> None:
        super().__init__()
        self.sides = sides
        self.tokens = tokens
        self.keys = {side.label: side.activation_key(tokens[side.label], precision) for side in sides}
        self.store = store
        self.evidence: dict[str, StoredActivations] = {}
        self.computed: list[str] = []
        self.n_model_passes = 0
        self._reservation = ExitStack()

    def setup(self, stage: str) -> None:
        missing = self._reserve_missing() if self.trainer.is_global_zero else []
        missing_keys = self.trainer.strategy.broadcast(missing)
        if self.trainer.world_size > 1:  # every rank pairs a share of the features
            self.evidence = self.trainer.strategy.broadcast(self.evidence)
        to_run = list(
            {self.keys[side.label]: side for side in self.sides if self.keys[side.label] in missing_keys}.values()
        )
        to_run.sort(key=self._pass_of)
        self.passes = [list(group) for _, group in groupby(to_run, key=self._pass_of)]
        self.n_model_passes = len(self.passes)
        self.computed = [side.label for side in self.sides if self.keys[side.label] in missing_keys]
        self.streams: Sequence[ResidualStream] = nn.ModuleList(  # type: ignore[assignment]
            [group[0].model.load(group[0].model_dtype) for group in self.passes]
        )
        self.saes: Mapping[str, Any] = nn.ModuleDict({side.label: side.sae for side in to_run})  # type: ignore[assignment]
        self.collectors: Mapping[str, ActivationCollector] = nn.ModuleDict(  # type: ignore[assignment]
            {side.label: ActivationCollector(side.d_sae) for side in to_run}
        )
        self.quality: Mapping[str, ReconstructionQuality] = nn.ModuleDict(  # type: ignore[assignment]
            {side.label: ReconstructionQuality(side.sae.cfg.d_in, side.d_sae) for side in to_run}
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
                self._encode(side.label, position[batch.mask], resid[side.layer][batch.mask])

    def on_test_epoch_end(self) -> None:
        for sides in self.passes:
            for side in sides:
                stored = StoredActivations(
                    self.collectors[side.label].activations(), self.quality[side.label].compute()._asdict()
                )
                self.evidence |= {label: stored for label, key in self.keys.items() if key == self.keys[side.label]}
                if self.store is not None and self.trainer.is_global_zero:
                    self.store.put(self.keys[side.label], stored)
        self.release()

    def release(self) -> None:
        """Let go of the reserved store entries; also after a failure."""
        self._reservation.close()

    def _pass_of(self, side: Side) -> tuple[str, str]:
        """Sides with the same one share a model's pass over their tokens."""
        return self.tokens[side.label], side.model_identity

    def _encode(self, label: str, position: Tensor, resid: Tensor) -> None:
        for some_positions, some_resid in zip(
            position.split(TOKENS_PER_ENCODING), resid.split(TOKENS_PER_ENCODING), strict=True
        ):
            acts = self.saes[label].encode(some_resid)
            self.collectors[label].update(some_positions, acts)
            self.quality[label].update(some_resid, self.saes[label].decode(acts), acts)

    def _reserve_missing(self) -> list[str]:
        """Keys that nobody has computed; they are locked until `release`."""
        if self.store is None:
            return list(self.keys.values())
        missing = self._look_up(self.store)
        if not missing:
            return []
        self._reservation.enter_context(self.store.reserve(missing))
        return self._look_up(self.store)  # another process may have computed them while this one waited

    def _look_up(self, store: ActivationStore) -> list[str]:
        found: dict[str, Any] = {key: store.get(key) for key in self.keys.values()}
        self.evidence = {label: found[key] for label, key in self.keys.items() if found[key] is not None}
        return [key for key, stored in found.items() if stored is None]
