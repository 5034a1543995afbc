"""One side of a comparison: a model, a layer and an SAE, checked against each other before any work is done."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from analogue.cli.checks import user_errors
from analogue.cli.schema import CompareConfig, ModelConfig, SAEConfig
from analogue.comparison.grid_layers import layers_of_pass
from analogue.errors import UserError
from analogue.features import content_key
from analogue.models import LanguageModel, open_model, tokenizer_fingerprint
from analogue.saes import load, sae_fingerprint, sae_warnings

ENCODER_VERSION = 2  # raise when the code between tokens and stored activations changes its output


@dataclass(frozen=True)
class Side:
    """Model, layer and SAE of side `a` or `b`.

    Attributes:
        label: `a` or `b`.
        sae: a `sae_lens.SAE`.
        sae_path: where it came from, as the user gave it, `{layer}` filled in.
        model_dtype: the precision of the model's weights.
        warnings: what the SAE's own metadata say against using it here.
    """

    label: str
    model: LanguageModel
    layer: int
    sae: Any
    sae_path: str
    sae_fingerprint: str
    model_dtype: str
    warnings: list[str]

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
        return f"{self.model.fingerprint} {self.model_dtype} {self.model.hook}"

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


def open_side(label: str, model: ModelConfig, sae: SAEConfig, layer: int) -> Side:
    """Open a side's model and SAE.

    Raises:
        UserError: naming the key to change: a model that is not there, or what `side_at` raises.
    """
    with user_errors(model=f"model_{label}.name", device_map=f"model_{label}.device_map"):
        language_model = open_model(
            model.name,
            revision=model.revision,
            hook=model.hook.value,
            randomize=model.randomize.value if model.randomize else None,
            randomize_seed=model.randomize_seed,
            device_map=model.device_map,
        )
    return side_at(label, language_model, model.dtype, sae, layer)


def side_at(label: str, model: LanguageModel, model_dtype: str, sae: SAEConfig, layer: int) -> Side:
    """A side of a model that is open already.

    Raises:
        UserError: naming the key to change: a layer out of range, an SAE that is not there, or one whose width is not
            the model's.
    """
    key = f"sae_{label}.path"
    with user_errors(layer=f"layer_{label}", path=key):
        model.check_layer(layer)
        loaded = load(sae.path, layer, sae.dtype, sae.before_topk)
    if loaded.cfg.d_in != model.d_model:
        problem = f"reads activations of width {loaded.cfg.d_in}, but {model.name} (model_{label}.name) has d_model "
        raise UserError(key, sae.path, f"{problem}{model.d_model}; choose an SAE trained on that model")
    return Side(
        label=label,
        model=model,
        layer=layer,
        sae=loaded,
        sae_path=sae.path.replace("{layer}", str(layer)),
        sae_fingerprint=sae_fingerprint(loaded),
        model_dtype=model_dtype,
        warnings=[f"{key} {warning}" for warning in sae_warnings(loaded, layer, model.hook)],
    )


def open_companions(side: Side, config: CompareConfig) -> list[Side]:
    """The same model at the other layers of `side`'s pass.

    A layer that cannot be opened is left out: its own job says why.
    """
    grid, sae = (config.sweep.layers_a, config.sae_a) if side.label == "a" else (config.sweep.layers_b, config.sae_b)
    companions = []
    for layer in layers_of_pass(side.layer, grid, config.layers_per_pass):
        try:
            if layer != side.layer:
                companions.append(side_at(side.label, side.model, side.model_dtype, sae, layer))
        except UserError:
            continue
    return companions


def same_tokenizer(a: Side, b: Side) -> bool:
    """Whether both models cut text into the same tokens."""
    return tokenizer_fingerprint(a.model.tokenizer) == tokenizer_fingerprint(b.model.tokenizer)
