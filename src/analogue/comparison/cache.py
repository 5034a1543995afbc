"""The store of activations as one comparison sees it: what is there, what is missing, and who computes it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import lightning as L
from platformdirs import user_cache_path

from analogue.comparison.ranks import activations_of_rank_0
from analogue.comparison.sides import OpenSide, open_companion_layers
from analogue.errors import InvalidArgument, Unavailable, warn
from analogue.features import ActivationStore, StoredActivations
from analogue.settings import Cache

T = TypeVar("T")


class ActivationCache:
    """Finds activations in the store, and reserves those that are missing for this comparison to compute.

    Args:
        sides: whose activations are wanted.
        tokens: the fingerprint of what each side reads, by its label.
        n_tokens: how many tokens of it count; an entry has a row for each.
        precision: of the model pass.
        cache: None for no store.

    Attributes:
        keys: the name of each side's activations in the store, by its label.
        found: activations, by the label of their side.
    """

    def __init__(
        self,
        sides: Sequence[OpenSide],
        tokens: Mapping[str, str],
        n_tokens: Mapping[str, int],
        precision: str,
        cache: Cache | None,
    ) -> None:
        self.tokens, self.n_tokens = tokens, n_tokens
        self.precision = precision
        self.keys = {side.label: self.key_of(side) for side in sides}
        self.sides = {self.keys[side.label]: side for side in sides}
        self.cache = cache
        self.store = _open_store(cache) if cache is not None else None
        self.found: dict[str, StoredActivations] = {}
        self._reservation = ExitStack()

    def key_of(self, side: OpenSide) -> str:
        """The name of a side's activations in the store."""
        return side.activation_key(self.tokens[side.label], self.precision)

    def missing(self, trainer: L.Trainer) -> dict[str, OpenSide]:
        """What this comparison has to compute, by its key: nobody else does so until `release`."""
        store = self.store
        if store is None:
            return self.sides
        missing = _of_rank_0(trainer, lambda: self._look_up(store))
        wanted = self.sides
        if missing:
            companions = [each for key in missing for each in self._companions(self.sides[key])]
            wanted = self.sides | {self.key_of(each): each for each in companions}
            missing = _of_rank_0(trainer, lambda: self._reserve(store, missing, wanted))
        if trainer.world_size > 1:  # every rank pairs a share of the features
            self.found = activations_of_rank_0(self.found)
        return {key: wanted[key] for key in missing}

    def add(self, key: str, side: OpenSide, stored: StoredActivations, keep: bool) -> None:
        """Take a side's activations that were computed; `keep` also writes them into the store.

        Raises:
            InvalidArgument: they do not cover every token that counts.
        """
        if not self._covers(stored, side):
            n_read, wanted = stored.activations.n_tokens, self.n_tokens[side.label]
            problem = f"has ended after {n_read} of the {wanted} tokens that count; let nothing stop its passes"
            raise InvalidArgument("trainer", "<Trainer>", problem)
        self.found |= {label: stored for label, own in self.keys.items() if own == key}
        if self.store is None or not keep:
            return
        try:
            self.store.put(key, stored)
        except OSError as error:  # the next comparison needs a pass; this one keeps its result
            message = f"`cache.dir`={self.store.directory} does not keep these activations: {error}"
            warn(message)

    def release(self) -> None:
        """Let others compute what is still missing."""
        self._reservation.close()

    def _companions(self, side: OpenSide) -> list[OpenSide]:
        assert self.cache is not None
        return open_companion_layers(side, self.cache.layers_a if side.label == "a" else self.cache.layers_b)

    def _reserve(self, store: ActivationStore, missing: list[str], wanted: Iterable[str]) -> list[str]:
        """Lock what is missing; another process may have computed some of it while this one waited."""
        companions = [key for key in wanted if key not in self.sides and key not in store]
        try:
            self._reservation.enter_context(store.reserve([*missing, *companions]))
        except OSError as error:
            problem = f"cannot be written to ({error.strerror}); choose another directory, or `cache`=off"
            raise Unavailable("cache.dir", store.directory, problem) from error
        missing = self._look_up(store)
        return missing + [key for key in companions if key not in store] if missing else []

    def _look_up(self, store: ActivationStore) -> list[str]:
        entries = {key: self._entry(store, key, side) for key, side in self.sides.items()}
        self.found = {label: entry for label, key in self.keys.items() if (entry := entries[key]) is not None}
        return [key for key, entry in entries.items() if entry is None]

    def _entry(self, store: ActivationStore, key: str, side: OpenSide) -> StoredActivations | None:
        entry = store.get(key)
        if entry is not None and not self._covers(entry, side):
            what = f"{entry.activations.shape[0]} tokens and {entry.activations.d_sae} features"
            wanted = f"{self.n_tokens[side.label]} and {side.d_sae} are wanted"
            message = f"the cached activations {key} are of {what}, where {wanted}; they will be computed again"
            warn(message)
            return None
        return entry

    def _covers(self, stored: StoredActivations, side: OpenSide) -> bool:
        return stored.activations.shape == (self.n_tokens[side.label], side.d_sae)


def _open_store(cache: Cache) -> ActivationStore:
    return ActivationStore(store_directory(cache), cache.max_gb)


def store_directory(cache: Cache) -> Path:
    """Where activations are stored: the directory given, or one of the user's cache."""
    return Path(cache.dir).expanduser() if cache.dir else user_cache_path("analogue") / "activations"


def _of_rank_0(trainer: L.Trainer, look: Callable[[], T]) -> T:
    """Rank 0's answer, on every rank: the store may change between two questions."""
    return trainer.strategy.broadcast(look() if trainer.is_global_zero else None)  # type: ignore[return-value]
