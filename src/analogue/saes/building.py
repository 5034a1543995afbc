"""What a format's reader found, as an SAE of SAELens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from sae_lens.registry import get_sae_class
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.topk_sae import TopK
from sae_lens.saes.transcoder import SkipTranscoder, SkipTranscoderConfig, Transcoder, TranscoderConfig
from torch import Tensor

from analogue.saes.files import Unreadable, check_weights


@dataclass
class TopKTranscoderConfig(TranscoderConfig):
    """A transcoder that keeps the k highest pre-activations of each token."""

    k: int = 1

    @classmethod
    def architecture(cls) -> str:
        return "topk_transcoder"


@dataclass
class TopKSkipTranscoderConfig(TopKTranscoderConfig, SkipTranscoderConfig):
    """The same with a linear map from the input to the output beside it."""

    @classmethod
    def architecture(cls) -> str:
        return "topk_skip_transcoder"


class TopKTranscoder(Transcoder):
    """Transcoders of sparsify; SAELens has none with a TopK."""

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        return TopK(self.cfg.k)


class TopKSkipTranscoder(TopKTranscoder, SkipTranscoder):
    """Transcoders of sparsify with a skip connection."""


OWN_CLASSES = {
    "topk_transcoder": (TopKTranscoder, TopKTranscoderConfig),
    "topk_skip_transcoder": (TopKSkipTranscoder, TopKSkipTranscoderConfig),
}


@dataclass
class Contents:
    """What the files of an SAE hold, in SAELens's terms.

    Attributes:
        architecture: SAELens's name, or one of `OWN_CLASSES`.
        state: weights by SAELens's names: W_enc (d_in, d_sae), b_enc, W_dec (d_sae, d_out), b_dec, ...
        settings: the fields of the architecture's configuration, without the sizes.
        metadata: where it was trained, and how.
        input_scale: the SAE was trained on activations times this factor.
        output_scale: a transcoder predicts activations times this factor; None for `input_scale`.
    """

    architecture: str
    state: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    input_scale: float = 1.0
    output_scale: float | None = None


def build(contents: Contents, dtype: str) -> Any:
    """The SAE of SAELens that computes what the files define, on activations as the model has them.

    Factors are multiplied into the weights: activations stay those of the scaled input, the decoder's output is in the
    model's own units. No memory is taken besides that of the weights.
    """
    state = dict(contents.state)
    _check_state(state)
    for scale in (contents.input_scale, contents.output_scale or 1.0):
        if not (isfinite(scale) and scale > 0):
            raise Unreadable(f"scales its input by {scale:g}; the factor must be above 0 and finite")
    out = contents.input_scale if contents.output_scale is None else contents.output_scale
    if contents.input_scale != 1 or out != 1:
        state = {name: _exact(tensor) for name, tensor in state.items()}
        state["W_enc"].mul_(contents.input_scale)
        for name in ("W_dec", "b_dec"):
            state[name].div_(out)
        if "W_skip" in state:
            state["W_skip"].mul_(contents.input_scale / out)
    sae_class, config_class = OWN_CLASSES.get(contents.architecture) or get_sae_class(contents.architecture)
    d_sae, d_out = state["W_dec"].shape
    d_in = state["W_enc"].shape[0] if "W_enc" in state else d_out
    sizes = {"d_in": d_in, "d_sae": d_sae} | ({"d_out": d_out} if hasattr(config_class, "d_out") else {})
    sae = sae_class(config_class(**sizes, dtype=dtype, device="meta", **contents.settings))
    sae.cfg.metadata = SAEMetadata(**contents.metadata)
    sae.load_state_dict(_in_precision(state, dtype), assign=True)
    return sae.to("cpu")


def _check_state(state: Mapping[str, Tensor]) -> None:
    """Raise `Unreadable` for weights that are no floating-point tensors, or that do not fit each other."""
    for name in ("W_dec", "b_dec"):
        if name not in state:
            raise Unreadable(f"has no {name} among its weights ({', '.join(sorted(state))})")
    for name, tensor in state.items():
        check_weights(name, tensor)
    if state["W_dec"].ndim != 2 or not state["W_dec"].numel():
        raise Unreadable(f"has a W_dec of shape {tuple(state['W_dec'].shape)}, where (d_sae, d_model) is needed")
    d_sae, d_out = state["W_dec"].shape
    d_in = state["W_enc"].shape[0] if state.get("W_enc", state["W_dec"]).ndim == 2 and "W_enc" in state else d_out
    shapes = {"W_enc": (d_in, d_sae), "b_dec": (d_out,), "W_skip": (d_out, d_in)}
    shapes |= dict.fromkeys(("b_enc", "threshold", "b_gate", "b_mag", "r_mag"), (d_sae,))
    for name, shape in shapes.items():
        if name in state and tuple(state[name].shape) != shape:
            found = tuple(state[name].shape)
            raise Unreadable(f"has weights {name} of shape {found}, where its W_dec needs {shape}")


def _in_precision(state: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    return {name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()}


def _exact(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.itemsize < 4 else tensor
