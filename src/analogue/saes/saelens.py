"""SAEs that SAELens has saved, of versions 3 to 6, for inference or as checkpoints of a training run."""

from typing import Any

import torch
from sae_lens.loading.pretrained_sae_loaders import LLM_METADATA_KEYS, handle_config_defaulting
from sae_lens.registry import SAE_CLASS_REGISTRY
from sae_lens.util import filter_valid_dataclass_fields
from torch import Tensor

from analogue.saes.building import Contents
from analogue.saes.files import Kinds, Source, Unreadable, check_kinds

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SCALER = "activation_scaler.json"
WHITENING = "activation_whitening.safetensors"
SCALED = "expected_average_only_in"
OVER_BATCHES = {"batchtopk", "matryoshka_batchtopk"}
"""Trained by the k highest of a batch, used with a threshold per token."""

KINDS: Kinds = {
    **dict.fromkeys(("activation_fn", "activation_fn_str", "architecture", "hook_name", "hook_point"), str),
    **dict.fromkeys(("model_name", "reshape_activations", "sae_lens_version"), str),
    **dict.fromkeys(("apply_b_dec_to_input", "rescale_acts_by_decoder_norm", "finetuning_scaling_factor"), bool),
    **dict.fromkeys(("d_in", "d_sae", "d_out", "k", "hook_layer", "hook_point_layer"), int),
    **dict.fromkeys(("activation_fn_kwargs", "metadata", "model_from_pretrained_kwargs"), dict),
}
OF_METADATA: Kinds = {
    **dict.fromkeys(("hook_name", "hook_name_out", "model_name"), str),
    **dict.fromkeys(("exclude_bos", "finished", "frozen_decoder"), bool),
    "model_from_pretrained_kwargs": dict,
    "seqpos_slice": list,
}
NORMALISATIONS = ("none", SCALED, "constant_norm_rescale", "layer_norm", "covariance_whitening")


def read(source: Source) -> Contents:
    """An SAE of any architecture that SAELens knows, with its factors and old keys."""
    state = source.tensors(WEIGHTS)
    if "W_dec" not in state:
        raise Unreadable(f"has no W_dec among its weights ({', '.join(state)})")
    config = source.json(CONFIG, KINDS) | source.overrides
    check_kinds(config.get("activation_fn_kwargs") or {}, {"k": int, "signed": bool}, CONFIG)
    check_kinds(config.get("metadata") or {}, OF_METADATA, CONFIG)
    _check_activation(config)
    if config.get("architecture") in OVER_BATCHES:
        _as_inference(config, state)
    _apply_finetuned_scale(config, state)
    if "log_threshold" in state:
        state["threshold"] = state.pop("log_threshold").exp()
    config["d_sae"], config["d_in"] = state["W_dec"].shape  # some old configurations lack them
    normalisation = config.get("normalize_activations")
    if normalisation is None or isinstance(normalisation, bool):
        normalisation = SCALED if normalisation else "none"
    if normalisation not in NORMALISATIONS:
        known = ", ".join(NORMALISATIONS)
        raise Unreadable(f"normalises its input by {normalisation!r}; those that are read: {known}")
    heads = (config.get("hook_head_index"), config.get("hook_point_head_index"))
    head = next((each for each in heads if each is not None), (config.get("metadata") or {}).get("hook_head_index"))
    if head is not None:
        raise Unreadable(f"reads attention head {head} alone; give an SAE of all heads or of the residual stream")
    config |= {"dtype": "float32", "device": "cpu", "normalize_activations": normalisation}
    architecture = config.setdefault("architecture", "standard")
    if architecture not in SAE_CLASS_REGISTRY:
        raise Unreadable(f"is of architecture {architecture!r}; SAELens has {', '.join(SAE_CLASS_REGISTRY)}")
    if architecture == "temporal":
        raise Unreadable("reads whole sequences (temporal); give an SAE that reads token by token")
    config = handle_config_defaulting(config)
    architecture = config["architecture"]  # a standard one of old with a TopK is a topk one
    given = {name: value for name, value in config.items() if value is not None}
    settings = filter_valid_dataclass_fields(given, SAE_CLASS_REGISTRY[architecture][1])
    for name in ("d_in", "d_sae", "d_out", "dtype", "device", "metadata"):
        settings.pop(name, None)
    scale, settings["normalize_activations"] = _scale(source, normalisation)
    metadata = dict(config.get("metadata") or {})
    metadata |= {name: value for name, value in source.overrides.items() if name in LLM_METADATA_KEYS}
    contents = Contents(architecture, state, settings, metadata, scale)
    if settings["normalize_activations"] == "covariance_whitening":
        _fold_whitening(source, contents)
    return contents


def _check_activation(config: dict[str, Any]) -> None:
    """Refuse an activation function that would be replaced by ReLU; put k where SAELens looks for it."""
    declared = config.get("activation_fn_str", config.get("activation_fn")) or "relu"
    kwargs = config.get("activation_fn_kwargs") or {}
    if kwargs.get("signed"):
        raise Unreadable("keeps signed activations (signed); features here are non-negative")
    if declared not in ("relu", "topk"):
        raise Unreadable(f"has the activation function {declared!r}; relu and topk can be read")
    architecture = config.get("architecture", "standard")
    if declared == "topk" and architecture not in ("standard", "topk"):
        raise Unreadable(
            f"is of architecture {architecture} with the activation function topk; SAELens has none like it"
        )
    if declared == "topk" or architecture == "topk":
        k = kwargs.get("k", config.get("k"))
        if k is None or k < 1:
            raise Unreadable(f"has a TopK, but its {CONFIG} holds k={k}, where the number of active features is needed")
        config |= {"activation_fn_kwargs": {"k": k}, "k": k}


def _as_inference(config: dict[str, Any], state: dict[str, Tensor]) -> None:
    """A checkpoint of a BatchTopK run as the JumpReLU SAE that SAELens makes of it at the run's end."""
    norms = state["W_dec"].norm(dim=1) if config.get("rescale_acts_by_decoder_norm", True) else None
    if norms is not None:
        state |= {"W_dec": state["W_dec"] / norms[:, None], "W_enc": state["W_enc"] * norms}
        state["b_enc"] = state["b_enc"] * norms
    threshold = float(state.pop("topk_threshold"))
    state["threshold"] = torch.full_like(state["b_enc"], threshold)
    config["architecture"] = "jumprelu"


def _apply_finetuned_scale(config: dict[str, Any], state: dict[str, Tensor]) -> None:
    """Multiply decoder rows by the factors that versions before 6 fitted to activations after training."""
    factor = next((state.pop(name) for name in ("scaling_factor", "finetuning_scaling_factor") if name in state), None)
    if factor is None or bool((factor == 1).all()):
        return
    if not config.get("finetuning_scaling_factor"):
        raise Unreadable("holds a scaling_factor that its configuration does not want; SAELens refuses it, too")
    state["W_dec"] = state["W_dec"] * factor.to(state["W_dec"].dtype)[:, None]


def _scale(source: Source, normalisation: str) -> tuple[float, str]:
    """The factor of the input, and the normalisation that is left to be done."""
    scaler = source.json(SCALER, {"scaling_factor": float})
    if normalisation not in ("none", SCALED):
        return 1.0, normalisation
    if normalisation == "none":  # folded in before it was saved, or never wanted
        return 1.0, "none"
    factor = source.input_scale if source.input_scale is not None else scaler.get("scaling_factor")
    return (1.0, SCALED) if factor is None else (float(factor), "none")


def _fold_whitening(source: Source, contents: Contents) -> None:
    """Take z = (x - mean) M into the weights, as SAELens does at the end of a training run."""
    if not source.has(WHITENING):
        raise Unreadable(f"reads whitened activations, but {WHITENING} is not there")
    if contents.architecture not in ("standard", "jumprelu", "topk") or contents.settings.get(
        "rescale_acts_by_decoder_norm"
    ):
        raise Unreadable(f"reads whitened activations, which can be undone for no {contents.architecture} SAE like it")
    whitening = source.tensors(WHITENING)
    mean, matrix, inverse = (whitening[name].double() for name in ("mean", "matrix", "inverse_matrix"))
    state, dtype = contents.state, contents.state["W_enc"].dtype
    w_enc, w_dec = matrix @ state["W_enc"].double(), state["W_dec"].double() @ inverse
    if not contents.settings.get("apply_b_dec_to_input", True):
        state["b_enc"] = (state["b_enc"].double() - mean @ w_enc).to(dtype)
    state |= {"W_enc": w_enc.to(dtype), "W_dec": w_dec.to(dtype)}
    state["b_dec"] = (state["b_dec"].double() @ inverse + mean).to(dtype)
    contents.settings["normalize_activations"] = "none"
