"""Opens the two spaces of a comparison: model and SAE, checked against each other before any work is done."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from analogue.errors import ArgumentError, InvalidArgument, check_option, renamed_arguments
from analogue.features import content_key
from analogue.matching import unit_rows
from analogue.models import LanguageModel, open_model, tokenizer_fingerprint
from analogue.options import DecoderRows
from analogue.saes import load, sae_fingerprint, sae_warnings
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
        """Decoder rows as the SAE has them, in its precision, half precisions in float32."""
        rows = self.sae.W_dec.detach().cpu()
        return (rows.float() if rows.itemsize < 4 else rows).numpy()

    def decoder_rows(self, how: str = DecoderRows.unit) -> Float[np.ndarray, "d_sae d_model"]:
        """Decoder rows of unit norm, or `raw`: as the SAE has them; a row of zeros stays one.

        An SAE whose decoder row of a feature is c times as long, and its encoder 1/c times, computes the same
        function. Rows of unit norm make both score alike.
        """
        check_option("decoder_rows", how, DecoderRows)
        rows = self.decoder
        return rows if how == DecoderRows.raw else unit_rows(rows).astype(rows.dtype)

    @property
    def encoder(self) -> Float[np.ndarray, "d_sae d_model"]:
        """The direction that each feature reads."""
        return self.sae.W_enc.detach().cpu().float().numpy().T

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
    fields = ("model", "tokenizer", "revision", "randomize", "randomize_seed", "device_map", "layer", "before_topk")
    with renamed_arguments(**{name: f"{label}.{name}" for name in fields}):
        model = model or open_model(
            side.model,
            tokenizer=side.tokenizer,
            revision=side.revision,
            hook=side.hook,
            randomize=side.randomize,
            randomize_seed=side.randomize_seed,
            device_map=side.device_map,
        )
        model.check_layer(side.layer)
        with renamed_arguments(path=f"{label}.sae", dtype=f"{label}.sae_dtype"):
            sae = load(side.sae, side.layer, side.sae_dtype, side.before_topk)
    opened = OpenSide(label, side, model, sae, sae_fingerprint(sae), [])
    if sae.cfg.d_in != model.d_model:
        problem = f"reads activations of width {sae.cfg.d_in}, but {model.name} (`{label}.model`) has d_model "
        problem += f"{model.d_model}; choose an SAE trained on that model"
        raise InvalidArgument(f"{label}.sae", opened.sae_name, problem)
    warnings = sae_warnings(sae, side.layer, model.hook)
    return replace(opened, warnings=[f"`{label}.sae` {warning}" for warning in warnings])


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
