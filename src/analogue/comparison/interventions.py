"""What features do to the next token in both models: they are added where they are silent, and removed where they fire.

Four arms act on B beside a feature of A: its `partner`; the `mapped` row of A itself; a `random` direction, as long as
the partner's, in the same contexts; and the partner's `hard` negative.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from rich.progress import Progress
from torch import Tensor

from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.sides import OpenSide
from analogue.comparison.transfer_passes import SideModels
from analogue.features import FeatureActivations
from analogue.models import Prefix
from analogue.settings import Transfer
from analogue.transfer import (
    AffineMap,
    firing,
    firing_contexts,
    log_probability_change,
    silent_contexts,
    typical_activation,
)

SHORTEST, LONGEST = 8, 64
"""Tokens of a context."""
SHARE_REMOVED = 4
"""A feature is removed in a quarter as many contexts as it is added: every pair needs different contexts."""
ARMS = ("partner", "mapped", "random", "hard")
NO_FEATURE = -1


@dataclass(frozen=True, eq=False)
class ChosenPairs:
    """Pairs whose effects are measured.

    Attributes:
        feature_a: (n,) feature of A.
        feature_b: (n,) its partner in B.
        hard: (n,) the partner's hard negative; `NO_FEATURE` where it has none.
    """

    feature_a: Int64[np.ndarray, " n"]
    feature_b: Int64[np.ndarray, " n"]
    hard: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.feature_a)


@dataclass(frozen=True, eq=False)
class Effects:
    """Mean change of the next token's log-probabilities, NaN for a pair without a context.

    Attributes:
        a: (n_doses, n, vocab) of A's features.
        b: (n_arms, n_doses, n, vocab) of what was done to B.
        n_contexts: (n,) over which A's effects are means.
    """

    a: Float32[np.ndarray, "n_doses n vocab"]
    b: Float32[np.ndarray, "n_arms n_doses n vocab"]
    n_contexts: Int64[np.ndarray, " n"]


@dataclass(eq=False)
class Laboratory:
    """Both models and the text in which features are added and removed.

    Attributes:
        sides: of a and b.
        models: with their heads.
        text: the contexts.
        acts: activations of both sides on their own tokens, by label.
        map: from A's stream to B's.
        vocabulary: (n_common,) tokens of each side's vocabulary that are compared, by label.
        pairs: whose effects are measured.
        seed: of contexts and random directions.
        remembers: of each model, see `Prefix`.
    """

    sides: dict[str, OpenSide]
    models: SideModels
    text: TokenisedCorpus
    acts: dict[str, FeatureActivations]
    map: AffineMap
    vocabulary: dict[str, Tensor]
    pairs: ChosenPairs
    seed: int
    remembers: dict[str, bool | None] = field(default_factory=lambda: {"a": None, "b": None})

    def context(self, label: str, unit: int) -> Int64[Tensor, " n_tokens"]:
        """The tokens of a side's sequence up to a unit's last."""
        tokens = self.text.sequences[label]
        sequence, position = divmod(int(self.text.places(label)[unit]), tokens.seq_len)
        return torch.from_numpy(tokens.ids[sequence, : position + 1])

    def allowed(self) -> Bool[np.ndarray, " n_units"]:
        """Units whose contexts are neither too short nor too long, on either side."""
        found = np.ones(self.text.n_units, dtype=bool)
        for label in "ab":
            n_tokens = self.text.places(label) % self.text.sequences[label].seq_len + 1
            found &= (n_tokens >= SHORTEST) & (n_tokens <= LONGEST)
        return found

    def fires(self, label: str, features: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, "n n_units"]:
        """Where features fire; `NO_FEATURE` fires nowhere."""
        found = firing(self.acts[label], np.maximum(features, 0))[:, self.text.last_tokens(label)]
        return found & (features != NO_FEATURE)[:, None]

    def prefix(self, label: str, unit: int) -> Prefix:
        """The context that ends at a unit, as one of the two models has read it."""
        side = self.sides[label]
        ids = self.context(label, unit)
        made = Prefix(self.models[label], side.layer, str(side.model.hook), ids, self.remembers[label])
        self.remembers[label] = made.remembers
        return made

    def random_directions(self) -> Float64[Tensor, "n d_b"]:
        """A direction of norm 1 per pair."""
        drawn = np.random.default_rng(self.seed).standard_normal((len(self.pairs), self.sides["b"].d_out))
        return torch.from_numpy(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def steering_effects(lab: Laboratory, transfer: Transfer, progress: bool = False) -> Effects:
    """Add features where neither they nor any other chosen one fires, at doses of their typical activation.

    All pairs are measured in the same contexts, so that no two effects are alike only because their texts are. If some
    chosen feature fires in every context, the contexts with the fewest such features are taken, and a pair leaves out
    those in which one of its features fires.
    """
    pairs, doses = lab.pairs, torch.tensor(transfer.doses, dtype=torch.float64)
    features = {"a": pairs.feature_a, "b": np.concatenate([pairs.feature_b, pairs.hard])}
    typical = {label: typical_activation(lab.acts[label], np.maximum(each, 0)) for label, each in features.items()}
    fires = np.concatenate([lab.fires("a", features["a"]), lab.fires("b", features["b"])])
    units = silent_contexts(fires, lab.allowed(), transfer.n_contexts, lab.seed)
    n, directions = len(pairs), lab.random_directions()
    silent = ~(fires[:n] | fires[n : 2 * n])[:, units]
    weights = np.stack(
        [silent, silent, silent, silent & ~fires[2 * n :][:, units] & (pairs.hard != NO_FEATURE)[:, None]]
    )
    on_a = _Mean((1, len(doses), n), len(lab.vocabulary["a"]))
    on_b = _Mean((len(ARMS), len(doses), n), len(lab.vocabulary["b"]))
    with _progress(progress, f"adding {n} features in {len(units)} contexts", len(units)) as advance:
        for place, unit in enumerate(units):
            prefix = lab.prefix("a", unit)
            row = contribution(lab.sides["a"].sae, prefix.at_last_token, features["a"], typical["a"])
            on_a.add(prefix, row[None], doses, silent[None, :, place], lab.vocabulary["a"])
            prefix = lab.prefix("b", unit)
            own, hard = contribution(lab.sides["b"].sae, prefix.at_last_token, features["b"], typical["b"]).split(n)
            arms = torch.stack([own, *_other_arms(lab.map, row, own, directions), hard])
            on_b.add(prefix, arms, doses, weights[:, :, place], lab.vocabulary["b"])
            advance()
    return Effects(on_a.mean()[0], on_b.mean(), silent.sum(1))


def ablation_effects(lab: Laboratory, transfer: Transfer, progress: bool = False) -> Effects:
    """Remove features where they fire together with their partner; hard negatives where those fire.

    Contexts differ from pair to pair, and both models read them, so a part of the likeness of effects comes from the
    contexts. The `random` arm, in the same contexts, shows how much.
    """
    pairs, allowed, n = lab.pairs, lab.allowed(), len(lab.pairs)
    fires_a, fires_b = lab.fires("a", pairs.feature_a), lab.fires("b", pairs.feature_b)
    fires_hard = lab.fires("b", pairs.hard)
    n_contexts = max(1, transfer.n_contexts // SHARE_REMOVED)
    both = [firing_contexts(fires_a[i] & fires_b[i], allowed, n_contexts, lab.seed) for i in range(n)]
    hard = [firing_contexts(fires_hard[i], allowed, n_contexts, lab.seed) for i in range(n)]
    a = np.full((1, n, len(lab.vocabulary["a"])), np.nan, dtype=np.float32)
    b = np.full((len(ARMS), 1, n, len(lab.vocabulary["b"])), np.nan, dtype=np.float32)
    directions = lab.random_directions()
    with _progress(progress, f"removing {n} features where they fire", sum(map(len, both + hard))) as advance:
        for i in range(n):
            effects = [_without(lab, i, unit, directions[i]) for unit in _advancing(both[i], advance)]
            if effects:
                a[0, i], b[:3, 0, i] = (np.mean(each, axis=0) for each in zip(*effects, strict=True))
            others = [_without_hard(lab, i, unit) for unit in _advancing(hard[i], advance)]
            if others:
                b[3, 0, i] = np.mean(others, axis=0)
    return Effects(a, b, np.array([len(each) for each in both]))


@torch.no_grad()
def contribution(
    sae: Any, stream: Float[Tensor, " d"], features: Int64[np.ndarray, " n"], activations: Float64[np.ndarray, " n"]
) -> Float64[Tensor, "n d"]:
    """What features would add to the stream at one token with such activations: their decoder rows, as the SAE decodes.

    An SAE that scales its input by the token's norm decodes at the scale of this token.
    """
    acts, rows, chosen = _encoded_rows(sae, stream, features)
    more = acts.clone()
    more[rows, chosen] += torch.from_numpy(activations).to(acts.device, acts.dtype)
    return (sae.decode(more) - sae.decode(acts)).double()


@torch.no_grad()
def present(sae: Any, stream: Float[Tensor, " d"], feature: int) -> Float64[Tensor, "1 d"]:
    """What a feature adds to the stream at one token; zeros where it does not fire."""
    acts, rows, chosen = _encoded_rows(sae, stream, np.array([feature]))
    less = acts.clone()
    less[rows, chosen] = 0
    return (sae.decode(acts) - sae.decode(less)).double()


def _without(lab: Laboratory, i: int, unit: int, direction: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The effect of removing pair i's feature of A at a unit, and that of the first three arms."""
    prefix_a, prefix_b = lab.prefix("a", unit), lab.prefix("b", unit)
    of_a = present(lab.sides["a"].sae, prefix_a.at_last_token, int(lab.pairs.feature_a[i]))
    own = present(lab.sides["b"].sae, prefix_b.at_last_token, int(lab.pairs.feature_b[i]))
    arms = torch.cat([own, *_other_arms(lab.map, of_a, own, direction[None])])
    return _effects(lab, "a", prefix_a, -of_a)[0], _effects(lab, "b", prefix_b, -arms)


def _without_hard(lab: Laboratory, i: int, unit: int) -> np.ndarray:
    prefix = lab.prefix("b", unit)
    removed = present(lab.sides["b"].sae, prefix.at_last_token, int(lab.pairs.hard[i]))
    effect: np.ndarray = _effects(lab, "b", prefix, -removed)[0]
    return effect


def _effects(lab: Laboratory, label: str, prefix: Prefix, added: Float64[Tensor, "n d"]) -> np.ndarray:
    """Effects (n, vocab) of adding vectors at the last token of a context."""
    found: list[np.ndarray] = []

    def use(some: slice, logits: Tensor) -> None:
        effects = log_probability_change(logits, prefix.logits)[:, lab.vocabulary[label].to(logits.device)]
        found.append(effects.float().cpu().numpy())

    prefix.logits_with(added, use)
    return np.concatenate(found)


def _other_arms(to_b: AffineMap, row_a: Tensor, own: Tensor, directions: Tensor) -> list[Tensor]:
    """A's contribution mapped to B, and a random direction as long as the partner's contribution."""
    weight, directions = to_b.weight.to(own.device), directions.to(own.device)
    return [row_a.to(own.device) @ weight, directions * own.norm(dim=-1, keepdim=True)]


def _encoded_rows(sae: Any, stream: Tensor, features: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Activations at one token, a row per feature; and which entries are those of the features."""
    repeated = stream.to(sae.W_dec.device, sae.W_dec.dtype).expand(len(features), -1)
    acts = sae.encode(repeated)
    chosen = torch.from_numpy(np.maximum(features, 0)).to(acts.device)
    return acts, torch.arange(len(features), device=acts.device), chosen


class _Mean:
    """Effects averaged over contexts, each with a weight of 0 or 1; float32, for there is a row per token."""

    def __init__(self, shape: tuple[int, int, int], n_vocabulary: int) -> None:
        self.total = np.zeros((*shape, n_vocabulary), dtype=np.float32)
        self.count = np.zeros(shape)

    def add(
        self,
        prefix: Prefix,
        rows: Float64[Tensor, "n_arms n d"],
        doses: Float64[Tensor, " n_doses"],
        weights: Bool[np.ndarray, "n_arms n"],
        vocabulary: Int64[Tensor, " n_vocabulary"],
    ) -> None:
        """Add the effects of all arms, doses and features in one context."""
        added = (rows[:, None] * doses.to(rows.device)[:, None, None]).flatten(0, 2)
        wanted = np.repeat(weights[:, None], len(doses), 1)
        self.count += wanted
        total, flat = self.total.reshape(-1, self.total.shape[-1]), wanted.ravel()

        def use(some: slice, logits: Tensor) -> None:
            effects = log_probability_change(logits, prefix.logits)[:, vocabulary.to(logits.device)]
            total[some] += effects.float().cpu().numpy() * flat[some, None]

        prefix.logits_with(added, use)

    def mean(self) -> Float32[np.ndarray, "n_arms n_doses n vocab"]:
        """NaN without a context."""
        count = np.where(self.count > 0, self.count, np.nan).astype(np.float32)
        return self.total / count[..., None]


def _advancing(units: Int64[np.ndarray, " n"], advance: Callable[[], None]) -> Iterator[int]:
    for unit in units.tolist():
        yield unit
        advance()


@contextmanager
def _progress(is_shown: bool, description: str, total: int) -> Iterator[Callable[[], None]]:
    with Progress(disable=not is_shown, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)
