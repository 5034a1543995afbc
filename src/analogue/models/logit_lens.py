"""The logit lens: which tokens a direction of the residual stream promotes, and which it suppresses."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from analogue.errors import InvalidArgument
from analogue.models.loading import LanguageModel
from analogue.models.residual_stream import ResidualStream, evaluation_mode

_ROWS = 256  # directions whose logits are in memory together


class PromotedTokens(NamedTuple):
    """The k tokens whose logits each of n directions raises most, highest first, and lowers most, lowest first."""

    promoted: Int64[np.ndarray, "n k"]
    raises: Float32[np.ndarray, "n k"]
    suppressed: Int64[np.ndarray, "n k"]
    lowers: Float32[np.ndarray, "n k"]


@torch.no_grad()
def promoted_tokens(
    model: LanguageModel, directions: Float[np.ndarray, "n d_model"], k: int = 10, dtype: str = "float32"
) -> PromotedTokens:
    """Send directions through a model's final norm and unembedding.

    The length of a direction does not matter: each is scaled to a root mean square of 1, which is what the norm would
    do. What biases alone put out is subtracted, and no soft cap is applied.

    Args:
        model: its weights are read.
        directions: rows of the residual stream, such as decoder rows.
        k: tokens of either kind.
        dtype: of the weights.

    Raises:
        ArgumentError: the model has no language-model head, cannot be loaded, or has something else than a norm between
            its last block and its head.

    Source:
        nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    if directions.shape[1] != model.d_model:
        problem = f"has d_model {model.d_model}, and the decoder rows are of width {directions.shape[1]}"
        raise InvalidArgument("model", model.name, f"{problem}: they are no directions of its residual stream")
    stream = model.load(dtype, with_head=True)
    norm, head = find_readout(stream, model.name)
    weight = next(head.parameters())
    rows = torch.from_numpy(np.ascontiguousarray(directions, dtype=np.float32))
    rows = rows / rows.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-30)
    n_tokens, found = min(len(model.tokenizer), len(weight)), []
    with evaluation_mode(stream.model):
        at_zero = head(norm(torch.zeros(1, rows.shape[1], dtype=weight.dtype, device=weight.device)))
        for some in rows.to(weight).split(_ROWS):
            logits = (head(norm(some)) - at_zero)[:, :n_tokens].float()
            highest, lowest = logits.topk(k), logits.topk(k, largest=False)
            found.append((highest.indices, highest.values, lowest.indices, lowest.values))
    return PromotedTokens(*(torch.cat(each).cpu().numpy() for each in zip(*found, strict=True)))


def find_readout(stream: ResidualStream, name: str) -> tuple[nn.Module, nn.Module]:
    """The final norm and the unembedding: what a model's last block and its logits have between them.

    The norm is found by what it reads and writes in a pass over a few tokens, not by its name.

    Args:
        stream: with a model that has its head.
        name: of the model, for errors.

    Raises:
        InvalidArgument: there is something else than one module between them.
    """
    model: Any = stream.model
    head: nn.Module = model.get_output_embeddings()
    inner = {module for block in stream.blocks for module in block.modules()}
    outside = [module for module in model.modules() if module not in inner and module is not head]
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    ends: dict[str, Tensor] = {}

    def keep_call(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if arguments and isinstance(arguments[0], Tensor) and isinstance(output, Tensor):
            calls.append((module, arguments[0], output))

    def keep_output(_: nn.Module, __: Any, output: Any) -> None:
        ends["block"] = output if isinstance(output, Tensor) else output[0]

    def keep_input(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        ends["head"] = arguments[0]

    handles = [module.register_forward_hook(keep_call) for module in outside]
    handles += [stream.blocks[-1].register_forward_hook(keep_output), head.register_forward_pre_hook(keep_input)]
    device = next(head.parameters()).device
    try:
        with torch.no_grad(), evaluation_mode(model):
            model(input_ids=torch.arange(8, device=device).reshape(1, 8), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    if torch.equal(ends["block"], ends["head"]):
        return nn.Identity(), head
    for module, read, written in calls:
        if torch.equal(read, ends["block"]) and torch.equal(written, ends["head"]):
            return module, head
    problem = "has something else than one norm between its last block and its head"
    raise InvalidArgument("model", name, f"{problem}; what its features promote cannot be read off")
