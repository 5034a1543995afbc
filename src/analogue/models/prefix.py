"""A context that a model reads once, and whose last token it reads many times, each time with something added."""

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from analogue.models.residual_stream import ResidualStream, evaluation_mode
from analogue.models.sites import Tap

TOKENS_PER_PASS = 2**12
LOGITS_PER_PASS = 2**24  # 64 MiB in float32


class Prefix:
    """A context of which a model has read all but the last token; it keeps the keys and values.

    The last token can then be read by many rows side by side, each with another vector added at one site: one token per
    row goes through the model, not the context. Models without keys and values (Mamba), or for which these do not give
    the same prediction, read the whole context for every row.

    Args:
        stream: a causal language model with its head, `LanguageModel.load(with_head=True)`.
        layer: block at which vectors are added.
        hook: the site of that block.
        ids: (n_tokens,) the context, at least 2 tokens.
        remembers: `remembers` of another context of the same model; None to find out.

    Attributes:
        at_last_token: (width,) what is read at the site at the last token.
        logits: (vocab,) of the token after the context, in the model's precision.
        remembers: whether rows go through the model one token at a time.
    """

    @torch.no_grad()
    def __init__(
        self,
        stream: ResidualStream,
        layer: int,
        hook: str,
        ids: Int64[Tensor, " n_tokens"],
        remembers: bool | None = None,
    ) -> None:
        self.model: Any = stream.model
        self._cached_as = "cache" if _takes(self.model, "cache") else "past_key_values"  # renamed in transformers 5.24
        self.ids, self.tap = _placed(stream, layer, hook, ids)
        self.memory: Any = self._memory() if remembers in (True, None) else None
        self.remembers = self.memory is not None
        seen: list[Tensor] = []
        handle = self.tap.register(seen.append)
        try:
            self.logits = self._last(1)[0] if remembers else _whole(self.model, self.ids)[0]
        finally:
            handle.remove()
        self.at_last_token = seen[-1].reshape(-1, seen[-1].shape[-1])[-1].clone()
        if remembers is None and self.remembers:
            self.remembers = _nearly_equal(self._last(1)[0], self.logits)

    @torch.no_grad()
    def logits_with(
        self, added: Float[Tensor, "n width"], use: Callable[[slice, Float[Tensor, "some vocab"]], None]
    ) -> None:
        """Logits of the next token, with vectors added at the site at the last token; a row per vector.

        Args:
            added: the vectors.
            use: is given which rows, and their logits, some rows at a time.
        """
        at_once = max(1, min(TOKENS_PER_PASS // self.ids.shape[1], LOGITS_PER_PASS // len(self.logits)))
        for start in range(0, len(added), at_once):
            some = added[start : start + at_once]
            with self.tap.replaced_by(partial(_with_last_token_changed, added=some)):
                logits = self._last(len(some)) if self.remembers else _whole(self.model, self.ids.expand(len(some), -1))
            use(slice(start, start + len(some)), logits)

    def _memory(self) -> Any:
        """What the model remembers of all but the last token; None if that cannot be given to several rows."""
        ids = self.ids[:, :-1]
        with evaluation_mode(self.model):
            out = self.model(input_ids=ids, use_cache=True, **_last_logits_only(self.model))
        memory = getattr(out, self._cached_as, None)
        return memory if hasattr(memory, "batch_repeat_interleave") else None

    def _last(self, n: int) -> Float[Tensor, "n vocab"]:
        memory = copy.deepcopy(self.memory)  # a pass adds to it
        memory.batch_repeat_interleave(n)
        mask = self.ids.new_ones(n, self.ids.shape[1])
        with evaluation_mode(self.model):
            ids = self.ids[:, -1:].expand(n, 1)
            out = self.model(input_ids=ids, attention_mask=mask, use_cache=True, **{self._cached_as: memory})
        return out.logits[:, -1]


def _placed(stream: ResidualStream, layer: int, hook: str, ids: Tensor) -> tuple[Int64[Tensor, "1 n_tokens"], Tap]:
    """A context on the model's device, and where the site is seen."""
    batch = ids[None].to(next(stream.model.parameters()).device)
    return batch, stream.tap(layer, hook, batch, torch.ones_like(batch, dtype=torch.bool))


def _whole(model: Any, ids: Int64[Tensor, "n n_tokens"]) -> Float[Tensor, "n vocab"]:
    with evaluation_mode(model):
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **_last_logits_only(model))
    logits: Tensor = out.logits[:, -1]
    return logits


def _with_last_token_changed(acts: Tensor, added: Float[Tensor, "n width"]) -> Tensor:
    changed = acts.clone()
    by_row = changed.view(len(added), -1, acts.shape[-1])  # experts put out one row of tokens
    by_row[:, -1] += added.to(device=acts.device, dtype=acts.dtype)
    return changed


def _nearly_equal(found: Float[Tensor, " vocab"], expected: Float[Tensor, " vocab"]) -> bool:
    """Whether logits differ by no more than rounding in the model's precision."""
    rounding = torch.finfo(expected.dtype).eps ** 0.5
    found, expected = found.float(), expected.float()
    return bool((found - expected).norm() <= rounding * (expected - expected.mean()).norm())


def _last_logits_only(model: nn.Module) -> dict[str, int]:
    return {"logits_to_keep": 1} if _takes(model, "logits_to_keep") else {}


def _takes(model: nn.Module, argument: str) -> bool:
    return argument in inspect.signature(model.forward).parameters
