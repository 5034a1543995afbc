"""Dictionaries that the package dictionary_learning has saved: `trainer_N/` with `ae.pt` and `config.json`.

Source:
    github.com/saprmarks/dictionary_learning, `dictionary.py` and `trainers/`.
"""

import re
from typing import Any

from torch import Tensor

from analogue.saes.building import Contents
from analogue.saes.files import Kinds, Source, Unreadable, check_kinds

CONFIG = "config.json"
WEIGHTS = "ae.pt"
CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)
OF_TRAINER: Kinds = {"dict_class": str, "k": int, "layer": int, "lm_name": str, "submodule_name": str}
HOOKS = {"resid": "hook_resid_post", "mlp": "hook_mlp_out", "att": "hook_attn_out"}
"""By what a submodule is called: `resid_post_layer_8`, `mlp_out_layer3`, `attention_layer_2`."""


def read(source: Source) -> Contents:
    """A dictionary of any class for one site; a BatchTopK one is used with its threshold, as its own `encode` does."""
    about = source.json(CONFIG, {"trainer": dict, "buffer": dict})
    trainer, buffer = about.get("trainer") or {}, about.get("buffer") or {}
    check_kinds(trainer, OF_TRAINER, CONFIG)
    check_kinds(buffer, {"io": str}, CONFIG)
    kind = trainer.get("dict_class")
    if kind not in CLASSES:
        raise Unreadable(f"is of class {kind!r}; of dictionary_learning, {', '.join(CLASSES)} can be read")
    if buffer.get("io") == "in_and_out":
        raise Unreadable("predicts a module's output from its input, and its files do not say where either lies")
    weights = source.tensors(WEIGHTS)
    state = _weights(weights)
    settings: dict[str, Any] = {"apply_b_dec_to_input": kind not in ("JumpReluAutoEncoder", "AutoEncoderNew")}
    architecture = "standard"
    if kind == "GatedAutoEncoder":
        architecture = "gated"
        state |= {"b_gate": weights["gate_bias"], "b_mag": weights["mag_bias"], "r_mag": weights["r_mag"]}
    elif kind == "AutoEncoderTopK":
        architecture = "topk"
        settings["k"] = int(weights["k"]) if "k" in weights else int(trainer["k"])
    elif kind in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"):
        architecture = "jumprelu"
        state["threshold"] = _threshold(weights, state["b_enc"], kind)
    return Contents(architecture, state, settings, _metadata(source, trainer, buffer))


def _weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Encoder, decoder and biases, which have other names in each class."""
    names = {
        "W_enc": ("W_enc", "encoder.weight"),
        "W_dec": ("W_dec", "decoder.weight"),
        "b_enc": ("b_enc", "encoder.bias"),
        "b_dec": ("b_dec", "bias", "decoder_bias", "decoder.bias"),
    }
    found = {ours: next((name for name in theirs if name in weights), None) for ours, theirs in names.items()}
    return {
        ours: weights[name].T if name in ("encoder.weight", "decoder.weight") else weights[name]
        for ours, name in found.items()
        if name is not None
    }


def _threshold(weights: dict[str, Tensor], like: Tensor, kind: str) -> Tensor:
    if "threshold" not in weights:
        raise Unreadable(f"has no threshold among its weights, without which a {kind} cannot encode single tokens")
    threshold = weights["threshold"].to(like.dtype)
    if threshold.ndim == 0 and float(threshold) < 0:
        raise Unreadable(f"was saved before the {kind}'s threshold was fitted; give a later checkpoint")
    return threshold.expand_as(like).contiguous() if threshold.ndim == 0 else threshold


def _metadata(source: Source, trainer: dict[str, Any], buffer: dict[str, Any]) -> dict[str, Any]:
    model, layer = trainer.get("lm_name") or source.model_name, trainer.get("layer")
    module = str(trainer.get("submodule_name") or "")
    if not re.match("resid|mlp|att", module):
        found = re.search(r"(resid|mlp|attn?)\w*?layer_?(\d+)", source.trail)
        module, layer = (found[1], layer if layer is not None else int(found[2])) if found else ("resid", layer)
    metadata = {"model_name": model} if model else {}
    if layer is not None:
        hook = next(hook for prefix, hook in HOOKS.items() if module.startswith(prefix))
        if buffer.get("io", "out") == "in":
            ins = {"hook_resid_post": "hook_resid_pre", "hook_mlp_out": "mlp.hook_in"}
            if hook not in ins:
                raise Unreadable(f"reads the input of {module!r} of block {layer}, which is none of the sites here")
            hook = ins[hook]
        metadata["hook_name"] = f"blocks.{layer}.{hook}"
    return metadata
