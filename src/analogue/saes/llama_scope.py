"""Llama Scope: JumpReLU SAEs and transcoders of Llama 3.1 8B and its relatives, as OpenMOSS's code saves them.

Sources:
    He et al. 2024, "Llama Scope", arXiv 2410.20526; github.com/OpenMOSS/Language-Model-SAEs.
"""

from typing import Any

import torch

from analogue.saes.building import Contents
from analogue.saes.files import Kinds, Source, Unreadable, check_kinds, check_weights

CONFIG = "hyperparams.json"
WEIGHTS = "checkpoints/final.safetensors"
LATER_CONFIG = "config.json"
LATER_WEIGHTS = "sae_weights.safetensors"
NORMS = "dataset_average_activation_norm"
KINDS: Kinds = {
    "act_fn": str,
    "apply_decoder_bias_to_pre_encoder": bool,
    "d_model": int,
    "hook_point_in": str,
    "hook_point_out": str,
    "jump_relu_threshold": float,
    "norm_activation": str,
    "sparsity_include_decoder_norm": bool,
    "use_glu_encoder": bool,
    NORMS: dict,
}


def read(source: Source) -> Contents:
    """The releases of 2024: one threshold for all features, in `hyperparams.json`."""
    config = source.json(CONFIG, KINDS)
    weights = source.tensors(WEIGHTS)
    # its training compared it with pre-activations of the stream in the model's own units
    scale, _ = _scales(config, config.get(NORMS) or {}, source)
    threshold = torch.full_like(weights["encoder.bias"], config.get("jump_relu_threshold", 0.0), dtype=torch.float32)
    return _contents(config, weights, threshold * scale, config.get(NORMS) or {}, source)


def read_later(source: Source) -> Contents:
    """The releases of 2025, such as R1-Distill: a threshold per feature among the weights."""
    config = source.json(LATER_CONFIG, KINDS)
    weights = source.tensors(LATER_WEIGHTS)
    names = ("log_jumprelu_threshold", "activation_function.log_jumprelu_threshold")
    found = next((name for name in names if name in weights), None)
    if found is None:
        raise Unreadable(f"has no log_jumprelu_threshold among its weights ({', '.join(sorted(weights))})")
    check_weights(found, weights[found])
    if weights[found].ndim != 1:
        raise Unreadable(f"has weights {found} of shape {tuple(weights[found].shape)}, where one per feature is needed")
    threshold = weights[found].float().exp()
    norms = {name.rpartition(f"{NORMS}.")[2]: float(each) for name, each in weights.items() if f"{NORMS}." in name}
    by_site = {side: norms.get(side, norms.get(config.get(f"hook_point_{side}", ""))) for side in ("in", "out")}
    return _contents(config, weights, threshold, config.get(NORMS) or by_site, source)


def _contents(config: dict[str, Any], weights: Any, threshold: Any, norms: dict[str, Any], source: Source) -> Contents:
    """encode: ReLU(s x W_enc + b_enc) where, times the decoder row's norm, it exceeds the threshold.

    s is sqrt(d_model) over the mean norm of the activations that it was trained on.

    SAELens's conversion leaves the decoder rows' norms out.
    """
    act = config.get("act_fn", "jumprelu")
    if act.lower() not in ("jumprelu", "jump_relu"):
        raise Unreadable(f"has the activation function {act!r}; of Llama Scope, jumprelu can be read")
    if config.get("use_glu_encoder"):
        raise Unreadable("has a gated encoder (use_glu_encoder); of Llama Scope, linear ones can be read")
    scale, out_scale = _scales(config, norms, source)
    state = {
        "W_enc": weights["encoder.weight"].T,
        "b_enc": weights["encoder.bias"],
        "W_dec": weights["decoder.weight"].T,
    }
    state["b_dec"] = weights.get("decoder.bias", torch.zeros(state["W_dec"].shape[1], dtype=state["W_dec"].dtype))
    if config.get("sparsity_include_decoder_norm", True):
        threshold = threshold / state["W_dec"].float().norm(dim=1)
    state["threshold"] = threshold
    read, written = config.get("hook_point_in"), config.get("hook_point_out")
    transcodes = read != written and written is not None
    subtracts = bool(config.get("apply_decoder_bias_to_pre_encoder", False))
    if transcodes and subtracts:
        raise Unreadable("is a transcoder that subtracts its decoder's bias from its input, which has another meaning")
    settings: dict[str, Any] = {"apply_b_dec_to_input": subtracts}
    if config.get("norm_activation") == "token-wise":
        settings["normalize_activations"] = "constant_norm_rescale"
    metadata = {"hook_name": read, "model_name": source.model_name} | ({"hook_name_out": written} if transcodes else {})
    metadata = {name: value for name, value in metadata.items() if value}
    architecture = "jumprelu_transcoder" if transcodes else "jumprelu"
    return Contents(architecture, state, settings, metadata, scale, out_scale)


def _scales(config: dict[str, Any], norms: dict[str, Any], source: Source) -> tuple[float, float]:
    """What input and output were multiplied by in training."""
    kind = config.get("norm_activation", "dataset-wise")
    if kind in ("token-wise", "inference", "none", None):
        return 1.0, 1.0
    if kind != "dataset-wise":
        raise Unreadable(f"normalises its input {kind!r}; of Llama Scope, dataset-wise and token-wise can be read")
    check_kinds(norms, {"in": float, "out": float}, NORMS)
    d_model = config.get("d_model")
    if d_model is None or d_model < 1:
        raise Unreadable(f"was trained on scaled activations, but its files hold d_model={d_model}")
    if norms.get("in"):
        scale = d_model**0.5 / norms["in"]
        return scale, d_model**0.5 / norms["out"] if norms.get("out") else scale
    if source.input_scale is not None:
        return source.input_scale, source.input_scale
    raise Unreadable(f"was trained on scaled activations, but its files hold no {NORMS}")
