"""Opens the two spaces of a comparison: model and SAE, checked against each other before any work is done."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from analogue.errors import ArgumentError, InvalidArgument, renamed_arguments
from analogue.features import content_key
from analogue.models import LanguageModel, open_model, tokenizer_fingerprint
from analogue.options import Hook
from analogue.saes import load, sae_fingerprint, sae_warnings
from analogue.saes.neurons import NEURONS, Neurons
from analogue.settings import Side

ENCODER_VERSION = 2  # raise when the code between tokens and stored activations changes its output


@dataclass(frozen=True)
class OpenSide:
    """A `Side` with what it names: the model (its weights not read yet) and the SAE.

    Attributes:
        label: `a` or `b`.
        settings: what was asked for.
        sae: a `sae_lens.SAE`.
        warnings: what the SAE's own metadata say against using it here.
    """

    label: str
    settings: Side
    model: LanguageModel
    sae: Any
    sae_fingerprint: str
    warnings: list[str]

    @property
    def layer(self) -> int:
        return self.settings.layer

    @property
    def sae_name(self) -> str:
        """Where the SAE came from, `{layer}` filled in; the class of one that was given as an object."""
        sae = self.settings.sae
        return str(sae).replace("{layer}", str(self.layer)) if isinstance(sae, str | Path) else type(sae).__name__

    @property
    def d_sae(self) -> int:
        return int(self.sae.cfg.d_sae)

    @property
    def decoder(self) -> Float[np.ndarray, "d_sae d_model"]:
        """Decoder rows in the SAE's precision, half precisions in float32."""
        rows = self.sae.W_dec.detach().cpu()
        return (rows.float() if rows.itemsize < 4 else rows).numpy()

    @property
    def model_identity(self) -> str:
        """Sides with the same one can share a model pass."""
        return f"{self.model.fingerprint} {self.settings.dtype} {self.model.hook}"

    def activation_key(self, tokens_fingerprint: str, precision: str) -> str:
        """The name of this side's activations in the store."""
        return content_key(
            model=self.model_identity,
            layer=self.layer,
            hook=self.model.hook,
            sae=self.sae_fingerprint,
            sae_dtype=str(self.sae.dtype),
            tokens=tokens_fingerprint,
            precision=precision,
            encoder=ENCODER_VERSION,
        )


def open_side(side: Side, label: str, model: LanguageModel | None = None) -> OpenSide:
    """Open a side's model, unless it is open already, and its SAE.

    Args:
        side: what to open.
        label: `a` or `b`; errors name the side by it: `a.layer`.
        model: the language model of `side`, where another layer of it has been opened.

    Raises:
        ArgumentError: no such model or SAE, a layer out of range, or an SAE whose width is not the model's.
    """
    fields = (
        "model",
        "tokenizer",
        "revision",
        "randomize",
        "randomize_seed",
        "device_map",
        "gguf_file",
        "layer",
        "before_topk",
    )
    with renamed_arguments(**{name: f"{label}.{name}" for name in (*fields, "gguf_file")}):
        model = model or open_model(
            side.model,
            tokenizer=side.tokenizer,
            revision=side.revision,
            hook=side.hook,
            randomize=side.randomize,
            randomize_seed=side.randomize_seed,
            device_map=side.device_map,
            gguf_file=side.gguf_file,
        )
        model.check_layer(side.layer)
        if side.sae == NEURONS:
            return _neurons(side, label, model)
        with renamed_arguments(path=f"{label}.sae", dtype=f"{label}.sae_dtype"):
            sae = load(side.sae, side.layer, side.sae_dtype, side.before_topk)
    opened = OpenSide(label, side, model, sae, sae_fingerprint(sae), [])
    if sae.cfg.d_in != model.d_model:
        problem = f"reads activations of width {sae.cfg.d_in}, but {model.name} (`{label}.model`) has d_model "
        problem += f"{model.d_model}; choose an SAE trained on that model"
        raise InvalidArgument(f"{label}.sae", opened.sae_name, problem)
    warnings = sae_warnings(sae, side.layer, model.hook)
    return replace(opened, warnings=[f"`{label}.sae` {warning}" for warning in warnings])


def _neurons(side: Side, label: str, model: LanguageModel) -> OpenSide:
    """A side without an SAE, for which the model's weights are read: its decoder is the MLP's output projection."""
    if side.hook not in (None, Hook.resid_post, Hook.neurons):
        raise InvalidArgument(f"{label}.hook", side.hook, f"is not what `{label}.sae`=neurons reads; use neurons")
    with renamed_arguments(hook=f"{label}.hook"):
        rows = model.load(side.dtype).output_rows(side.layer)
    neurons = Neurons(rows.cpu().to(getattr(torch, side.sae_dtype)))
    return OpenSide(label, side, replace(model, hook=Hook.neurons), neurons, sae_fingerprint(neurons), [])


def open_companion_layers(side: OpenSide, layers: Iterable[int]) -> list[OpenSide]:
    """The same model at other layers, whose activations one pass computes too.

    A layer that cannot be opened is left out: the comparison that needs it reports why.
    """
    opened = []
    for layer in layers:
        try:
            if layer != side.layer and isinstance(side.settings.sae, str):
                opened.append(open_side(replace(side.settings, layer=layer), side.label, side.model))
        except ArgumentError:
            continue
    return opened


def same_tokenizer(a: OpenSide, b: OpenSide) -> bool:
    """Whether both models cut text into the same tokens."""
    return tokenizer_fingerprint(a.model.tokenizer) == tokenizer_fingerprint(b.model.tokenizer)
