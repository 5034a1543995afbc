"""The sites of a block, found by what its modules put out in a small pass, not by what they are called.

A block adds two terms to the residual stream: what attention puts out and what the MLP puts out. They are recognised
because the block's input and the two terms sum to its output (in BERT, to what the last norm reads):

| site | what is read |
| --- | --- |
| `resid_pre`, `resid_post` | the block's input and output |
| `attn_out`, `mlp_out` | the terms: in blocks with post-norms (Gemma 2 and 3, GLM 4, OLMo 3), what these put out |
| `attn_z` | the input of attention's output projection: the heads' outputs, concatenated |
| `resid_mid` | the stream that the MLP's part of the block reads; blocks that run both parts on one stream have none |
| `mlp_in` | the MLP's input, after the norm; without a norm before the MLP (OLMo 3, BERT) that is `resid_mid` |
| `neurons` | the MLP's hidden activations, the input of its output projection; a mixture of experts has none |

In a model with linear attention or another mixer in attention's place (Qwen 3.5), the mixer takes attention's part.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from analogue.options import Hook

Replace = Callable[[Float[Tensor, "batch seq_len width"]], Float[Tensor, "batch seq_len width"]]


class MissingSiteError(ValueError):
    """A block without that site; the message is a predicate of the block: "runs attention and MLP side by side"."""


class Tap(NamedTuple):
    """Where a site is seen during a pass: what goes into a module, or what comes out of it."""

    module: nn.Module
    reads_input: bool

    def register(self, keep: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `keep` with the site's activations whenever the module runs."""
        if self.reads_input:
            read = lambda module, inputs, named: keep(first_tensor(inputs, named))  # noqa: E731
            return self.module.register_forward_pre_hook(read, with_kwargs=True)
        return self.module.register_forward_hook(lambda module, inputs, output: keep(first_tensor(output)))

    @contextmanager
    def replaced_by(self, replace: Replace) -> Iterator[None]:
        """Let the model go on with other activations than those of the site."""

        def other(given: Any) -> Any:
            first = first_tensor(given)
            return replace(given) if given is first else tuple(replace(e) if e is first else e for e in given)

        def other_input(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            first = first_tensor(inputs, named)
            return (
                tuple(replace(each) if each is first else each for each in inputs),
                {name: replace(each) if each is first else each for name, each in named.items()},
            )

        if self.reads_input:
            handle = self.module.register_forward_pre_hook(other_input, with_kwargs=True)
        else:
            handle = self.module.register_forward_hook(lambda module, inputs, output: other(output))
        try:
            yield
        finally:
            handle.remove()


def first_tensor(given: Any, named: dict[str, Any] | None = None) -> Any:
    """The tensor that a module takes or puts out: the first of several."""
    several = [given] if isinstance(given, Tensor) else [*given, *(named or {}).values()]
    return next((each for each in several if isinstance(each, Tensor)), None)


def copied(acts: Tensor) -> Tensor:
    """A copy on the CPU: some blocks add to their activations in place, and models may be spread over devices."""
    return acts.detach().to("cpu", copy=True)


class Call(NamedTuple):
    """One run of a module inside a block: its arguments, and the first tensor of what it takes and puts out."""

    module: nn.Module
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    given: Tensor
    put_out: Tensor

    @property
    def is_matrix(self) -> bool:
        """Whether the module multiplies by one matrix: `nn.Linear`, or `Conv1D` of transformers."""
        weight = getattr(self.module, "weight", None)
        return isinstance(weight, Tensor) and weight.ndim == 2

    @property
    def holds_matrices(self) -> bool:
        """Whether the module, or one within it, has weights of two or more axes."""
        return any(parameter.ndim > 1 for parameter in self.module.parameters())

    def acts_token_by_token(self) -> bool:
        """Whether tokens in another order are put out in that order; attention mixes them."""

        def flipped(given: Any) -> Any:
            return given.flip(-2) if isinstance(given, Tensor) and given.ndim > 1 else given

        named = {name: flipped(each) for name, each in self.named.items()}
        put_out = first_tensor(self.module(*map(flipped, self.arguments), **named)).cpu()
        put_out = put_out.reshape(*self.given.shape[:-1], -1)
        difference = put_out.flip(-2) - self.put_out.reshape(put_out.shape)
        return bool(difference.norm() <= 0.1 * self.put_out.norm())


@contextmanager
def recorded_calls(block: nn.Module) -> Iterator[list[Call]]:
    """Record the runs of a block's modules, in the order in which they end; modules that run twice are left out."""
    calls: list[Call] = []

    def record(module: nn.Module, arguments: Any, named: dict[str, Any], output: Any) -> None:
        given, put_out = first_tensor(arguments, named), first_tensor(output)
        if given is not None and put_out is not None:
            calls.append(Call(module, arguments, named, *map(copied, (given, put_out))))

    inside = [module for module in block.modules() if module is not block]
    handles = [module.register_forward_hook(record, with_kwargs=True) for module in inside]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
        runs = [id(call.module) for call in calls]
        calls[:] = [call for call in calls if runs.count(id(call.module)) == 1]


@dataclass(frozen=True)
class Sublayers:
    """The two parts of a block.

    Attributes:
        calls: what `recorded_calls` recorded.
        attention: the call that put out the term that attention adds to the stream.
        mlp: the call that put out the MLP's term.
        mlp_input: the call whose input is the MLP's.
        stream: the call whose input is the stream that the MLP's part reads.
        is_parallel: whether that stream is the block's input.
    """

    calls: Sequence[Call]
    attention: Call
    mlp: Call
    mlp_input: Call
    stream: Call
    is_parallel: bool

    def tap(self, hook: str) -> Tap:
        """Where a site is seen; not for `resid_pre` and `resid_post`.

        Raises:
            MissingSiteError: the block has no such site.
        """
        if hook == Hook.resid_mid and self.is_parallel:
            raise MissingSiteError("runs attention and MLP side by side, on one stream, without a stream between them")
        if hook in (Hook.attn_z, Hook.neurons):
            return Tap(_projection(self.calls, self.attention if hook == Hook.attn_z else self.mlp), reads_input=True)
        taps = {
            Hook.attn_out: Tap(self.attention.module, reads_input=False),
            Hook.mlp_out: Tap(self.mlp.module, reads_input=False),
            Hook.mlp_in: Tap(self.mlp_input.module, reads_input=True),
            Hook.resid_mid: Tap(self.stream.module, reads_input=True),
        }
        return taps[Hook(hook)]


def find_sublayers(
    before: Float[Tensor, "batch seq_len d_model"], after: Float[Tensor, "batch seq_len d_model"], calls: Sequence[Call]
) -> Sublayers:
    """Tell attention from the MLP in a block.

    Args:
        before: the block's input in a small pass.
        after: its output.
        calls: the runs of its modules in that pass.

    Raises:
        MissingSiteError: the block is built in another way.
    """
    terms = [
        call._replace(put_out=call.put_out.reshape(before.shape))  # some experts put out tokens in one row
        for call in calls
        if call.put_out.shape[-1] == before.shape[-1] and call.put_out.numel() == before.numel()
    ]
    attention, mlp, norm = _two_terms(before, after, terms)
    mlp_input = _input_of_mlp(calls, mlp)
    if not mlp_input.acts_token_by_token():
        raise MissingSiteError("has no MLP after attention")
    readers = [
        mlp_input,
        *(call for call in calls if _equal(call.put_out, mlp_input.given) and not call.holds_matrices),
    ]
    for call in readers:
        if _equal(call.given, before):
            return Sublayers(calls, attention, mlp, mlp_input, call, is_parallel=True)
        if _equal(call.given, norm.put_out) if norm else _sums_to(call.given, before, attention.put_out):
            return Sublayers(calls, attention, mlp, mlp_input, call, is_parallel=False)
    raise MissingSiteError("has an MLP that reads neither the block's input nor what attention has added to it")


def _two_terms(before: Tensor, after: Tensor, terms: Sequence[Call]) -> tuple[Call, Call, Call | None]:
    """The calls that put out attention's term and the MLP's, and the norm of the stream between them, as in BERT."""
    ends = [after, *(call.given for call in terms if _equal(call.put_out, after))]  # the sum, or a norm of the sum
    for end in ends:
        for second in range(len(terms) - 1, 0, -1):
            for first in range(second - 1, -1, -1):
                attention, mlp = terms[first], terms[second]
                if _sums_to(end, before, attention.put_out, mlp.put_out):
                    return attention, mlp, None
                for norm in terms[first + 1 : second]:
                    if _sums_to(norm.given, before, attention.put_out) and _sums_to(end, norm.put_out, mlp.put_out):
                        return attention, mlp, norm
    raise MissingSiteError("does not add what attention and what an MLP puts out to the residual stream")


def _input_of_mlp(calls: Sequence[Call], mlp: Call) -> Call:
    """The call that takes the MLP's input: that of the module that holds all of it, or of its first matrix."""
    put_out, is_hidden = mlp.put_out, False
    while makers := [call for call in calls if _equal(call.put_out, put_out)]:
        holders = [call for call in makers if call.holds_matrices and not call.is_matrix]
        matrices = [call for call in makers if call.is_matrix]
        if holders or (is_hidden and matrices):
            return (holders or matrices)[-1]
        is_hidden = is_hidden or bool(matrices)
        others = [call for call in matrices or makers if not _equal(call.given, put_out)]  # dropout changes nothing
        if not others:
            break
        put_out = others[0].given
    raise MissingSiteError("has an MLP whose input is not that of one module")


def _projection(calls: Sequence[Call], term: Call) -> nn.Module:
    """The matrix that makes a term, a norm and dropout behind it aside."""
    put_out = term.put_out
    while makers := [call for call in calls if _equal(call.put_out, put_out)]:
        matrices = [call for call in makers if call.is_matrix]
        if matrices:
            return matrices[0].module
        others = [call for call in makers if not call.holds_matrices and not _equal(call.given, put_out)]
        if not others:
            break
        put_out = others[0].given
    raise MissingSiteError("makes what it adds to the stream by more than one output projection (such as experts)")


def _equal(one: Tensor, other: Tensor) -> bool:
    same_tokens = one.shape[-1] == other.shape[-1] and one.numel() == other.numel()
    return same_tokens and one.dtype == other.dtype and torch.equal(one.reshape(other.shape), other)


def _sums_to(total: Tensor, *parts: Tensor) -> bool:
    """Whether parts sum to the total up to rounding, whose bound is that of the coarsest of them."""
    if any(each.numel() != total.numel() for each in parts):
        return False
    rounding = 4 * max(torch.finfo(each.dtype).eps for each in (total, *parts))
    exact = torch.stack([each.reshape(total.shape).double() for each in parts])
    return bool(((exact.sum(0) - total.double()).abs() <= rounding * exact.abs().sum(0)).all())
