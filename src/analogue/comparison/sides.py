"""Opens the two spaces of a comparison: model and SAE, checked against each other before any work is done."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64

from analogue.errors import ArgumentError, InvalidArgument, check_option, renamed_arguments
from analogue.features import content_key
from analogue.matching import folded_weights, unit_rows
from analogue.models import LanguageModel, open_model, tokenizer_fingerprint, uses_layer_norm
from analogue.options import DecoderRows, Hook
from analogue.saes import (
    RESIDUAL,
    Site,
    centre_input,
    load,
    names_a_place,
    output_site,
    reads_before_gain,
    sae_fingerprint,
    sae_site,
    sae_warnings,
    same_stream,
    trained_on,
    wants_centring,
)
from analogue.saes.bases import NEURONS, SignedBasis, is_raw_basis, raw_basis
from analogue.settings import Side, default_k

ENCODER_VERSION = 2  # raise when the code between tokens and stored activations changes its output
OTHER_WIDTHS = {Hook.attn_z, Hook.neurons}  # sites whose width is not d_model


@dataclass(frozen=True)
class OpenSide:
    """A `Side` with what it names: the model (its weights not read yet) and the SAE.

    Attributes:
        label: `a` or `b`.
        settings: what was asked for.
        sae: a `sae_lens.SAE`.
        warnings: reasons in the SAE's metadata not to use it here.
        is_trained: False for a dictionary that was not trained, so that a low explained variance is no reason for a
            warning.
    """

    label: str
    settings: Side
    model: LanguageModel
    sae: Any
    sae_fingerprint: str
    warnings: list[str]
    is_trained: bool = True

    @property
    def reason_to_explain_little(self) -> str | None:
        """The setting that keeps the SAE from explaining what it reads; None if there is none."""
        if self.settings.before_topk:
            return f"`{self.label}.before_topk`=true keeps activations that its decoder was trained without"
        if self.settings.randomize and self.sae.cfg.metadata.get("randomize") != self.settings.randomize:
            return f"`{self.label}.randomize`={self.settings.randomize} makes its model another one"
        site = sae_site(self.sae)
        if site is not None and not same_stream(site, (self.layer, self.model.hook)):
            return f"it was trained on {trained_on(self.sae)}, and reads {self.model.hook} of block {self.layer}"
        return None

    @property
    def layer(self) -> int:
        """Block that is read, counted from 0."""
        return self.settings.layer

    @property
    def sae_name(self) -> str:
        """Where the SAE came from, `{layer}` filled in; the class of one that was given as an object."""
        sae = self.settings.sae
        return str(sae).replace("{layer}", str(self.layer)) if isinstance(sae, str | Path) else type(sae).__name__

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return int(self.sae.cfg.d_sae)

    @property
    def writes(self) -> Site | None:
        """The site that a transcoder predicts, in the block that is read; None for an SAE."""
        if not hasattr(self.sae.cfg, "d_out"):
            return None
        site, read = output_site(self.sae), sae_site(self.sae)
        if site is None or read is None or site == read:
            return None
        return Site(site.layer - read.layer + self.layer, site.hook)

    @property
    def d_out(self) -> int:
        """The width of what the SAE reconstructs."""
        return int(getattr(self.sae.cfg, "d_out", self.sae.cfg.d_in))

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

    def folded_weights(self) -> Float64[np.ndarray, "d_sae 2*d_model+1"]:
        """Decoder, encoder and its bias, at a scale at which features can be compared; see `folded_weights`."""
        parts = (getattr(self.sae, name, None) for name in ("b_enc", "threshold"))
        bias, threshold = (None if part is None else part.detach().cpu().float().numpy() for part in parts)
        return folded_weights(self.decoder, self.encoder, bias, threshold)

    @property
    def model_identity(self) -> str:
        """The model as it is read; sides with the same identity can share a model pass."""
        return f"{self.model.fingerprint} {self.settings.dtype} {self.model.hook}"

    def activation_key(self, tokens_fingerprint: str, precision: str) -> str:
        """The name of this side's activations in the store."""
        written = {"writes": str(self.writes)} if self.writes else {}  # decides the explained variance
        return content_key(
            **written,
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
        ArgumentError: no such model or SAE, a layer out of range, an SAE whose width is not the model's, or one that
            was trained on something else than it is to read.
    """
    fields = ("model", "tokenizer", "revision", "randomize", "randomize_seed", "device_map", "gguf_file")
    with renamed_arguments(**{name: f"{label}.{name}" for name in (*fields, "layer", "before_topk")}):
        model = model or open_model(
            side.model,
            tokenizer=side.tokenizer,
            revision=side.revision,
            randomize=side.randomize,
            randomize_seed=side.randomize_seed,
            device_map=side.device_map,
            gguf_file=side.gguf_file,
        )
        model.check_layer(side.layer)
        if side.sae == NEURONS:
            return _neurons(side, label, model)
        with renamed_arguments(path=f"{label}.sae", dtype=f"{label}.sae_dtype"):
            if is_raw_basis(side.sae):
                return _raw_basis(side, label, model)
            sae = load(side.sae, side.layer, side.sae_dtype, side.before_topk, transcoders=True, centre=False)
    if wants_centring(sae) and uses_layer_norm(model):
        centre_input(sae)
    opened = OpenSide(label, side, model, sae, sae_fingerprint(sae), [])
    opened = replace(opened, model=replace(model, hook=_hook(opened)))
    if sae.cfg.d_in != model.d_model and opened.model.hook not in OTHER_WIDTHS:
        problem = f"reads activations of width {sae.cfg.d_in}, but {model.name} (`{label}.model`) has d_model "
        problem += f"{model.d_model}; choose an SAE trained on that model"
        raise InvalidArgument(f"{label}.sae", opened.sae_name, problem)
    drawn = model.randomize, model.randomize_seed
    warnings = sae_warnings(sae, side.layer, opened.model.hook, model.name, *drawn)
    if side.before_topk and not sae.cfg.architecture().startswith("topk"):
        warnings.append(f"is {sae.cfg.architecture()} and has no TopK: `{label}.before_topk`=true changes nothing")
    return replace(opened, warnings=[f"`{label}.sae` {warning}" for warning in warnings])


def _hook(side: OpenSide) -> Hook:
    """Where the side is read: where it was asked for, or else where its SAE was trained.

    The residual stream may be read elsewhere than the SAE's metadata say, with a warning; the paper's published code
    does so. An SAE of another site reads that site.

    Raises:
        InvalidArgument: the SAE was trained on another kind of site, or on one that cannot be read.
    """
    site, trained, asked = sae_site(side.sae), trained_on(side.sae), side.settings.hook
    if reads_before_gain(side.sae) and not uses_layer_norm(side.model):
        problem = f"was trained on {trained}, which in a model with RMSNorm is read before the norm's gain"
        raise InvalidArgument(f"{side.label}.sae", side.sae_name, f"{problem}; that is no site here")
    if site is None:
        if names_a_place(trained) and asked not in RESIDUAL:
            problem = f"was trained on {trained}, which is none of the sites that are read ({', '.join(Hook)})"
            raise InvalidArgument(f"{side.label}.sae", side.sae_name, problem)
        return Hook(asked or Hook.resid_post)
    if asked is not None:
        is_alike = same_stream(site, (side.layer, asked)) or {site.hook, asked} <= RESIDUAL or site.hook == asked
        if not is_alike:
            problem = f"`{side.label}.sae` was trained on {trained}, which is {site.hook} of block {site.layer}"
            raise InvalidArgument(f"{side.label}.hook", asked, f"{problem}; leave the hook out, or choose another SAE")
        return Hook(asked)
    same = (hook for hook in (Hook.resid_post, Hook.resid_pre) if same_stream(site, (side.layer, hook)))
    return next(same, site.hook)


def _neurons(side: Side, label: str, model: LanguageModel) -> OpenSide:
    """A side without an SAE, for which the model's weights are read: its decoder is the MLP's output projection."""
    if side.hook not in (None, Hook.neurons):
        raise InvalidArgument(f"{label}.hook", side.hook, f"is not what `{label}.sae`=neurons reads; use neurons")
    with renamed_arguments(hook=f"{label}.hook"):
        rows = model.load(side.dtype).output_rows(side.layer)
    neurons = SignedBasis(rows.cpu().to(getattr(torch, side.sae_dtype)), NEURONS)
    return OpenSide(
        label, side, replace(model, hook=Hook.neurons), neurons, sae_fingerprint(neurons), [], is_trained=False
    )


def _raw_basis(side: Side, label: str, model: LanguageModel) -> OpenSide:
    """A side whose dictionary is a basis of what it reads."""
    if side.hook in OTHER_WIDTHS:
        problem = f"has another width than the residual stream, of which `{label}.sae`={side.sae} is a basis"
        raise InvalidArgument(f"{label}.hook", side.hook, f"{problem}; leave it out, or read a site of that width")
    basis = raw_basis(side.sae, model.d_model, default_k(model.d_model), side.sae_dtype)
    model = replace(model, hook=Hook(side.hook or Hook.resid_post))
    return OpenSide(label, side, model, basis, sae_fingerprint(basis), [], is_trained=False)


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
