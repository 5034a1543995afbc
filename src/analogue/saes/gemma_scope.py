"""Gemma Scope 1 and 2: JumpReLU SAEs and transcoders of Gemma 2 and 3.

Sources:
    Lieberum et al. 2024, "Gemma Scope", arXiv 2408.05147; the repositories google/gemma-scope-* and
    google/gemma-scope-2-* of the hub.
"""

import re

from torch import Tensor

from analogue.saes.building import Contents
from analogue.saes.files import Kinds, Source, Unreadable

FIRST_WEIGHTS = "params.npz"
SECOND_WEIGHTS = "params.safetensors"
SECOND_CONFIG = "config.json"
KINDS: Kinds = {
    "affine_connection": bool,
    "architecture": str,
    "hf_hook_point_in": str,
    "hf_hook_point_out": str,
    "model_name": str,
}
SETTINGS = {"apply_b_dec_to_input": False}


def read_first(source: Source) -> Contents:
    """`layer_N/width_W/average_l0_X/params.npz`; what it reads stands in the repository's name alone.

    Transcoders read the stream that enters the MLP's branch after RMSNorm and before the norm's gain: the stream at
    unit root mean square. Those of embeddings were trained before Gemma multiplies them by sqrt(d_model).

    Source:
        arXiv 2408.05147v2, page 18, "Language model technical details".
    """
    state = _by_saelens_names(source.tensors(FIRST_WEIGHTS))
    d_in = state["W_enc"].shape[0]
    found = re.search(r"gemma-scope-(\d+b)-(pt|it)-(\w+)", source.trail)
    kind = found[3] if found else ""
    model = f"gemma-2-{found[1]}{'-it' if found[2] == 'it' else ''}" if found else source.model_name
    metadata: dict[str, object] = {"model_name": model} if model else {}
    if re.search(r"(?:^|/)embedding(?:/|$)", source.trail):
        metadata["hook_name"] = "blocks.0.hook_resid_pre"
        return Contents("jumprelu", state, SETTINGS, metadata, input_scale=d_in**-0.5)
    layer = re.search(r"layer_(\d+)", source.trail)
    at = f"blocks.{layer[1]}" if layer else None
    if kind.startswith("transcoders"):
        if at:
            metadata |= {"hook_name": f"{at}.hook_resid_mid", "hook_name_out": f"{at}.hook_mlp_out"}
        settings = SETTINGS | {"normalize_activations": "constant_norm_rescale"}
        return Contents("jumprelu_transcoder", state, settings, metadata)
    hooks = {"mlp": "hook_mlp_out", "att": "attn.hook_z"}
    if at:
        metadata["hook_name"] = f"{at}.{hooks.get(kind, 'hook_resid_post')}"
    return Contents("jumprelu", state, SETTINGS, metadata)


def read_second(source: Source) -> Contents:
    """`resid_post/layer_N_width_W_l0_X/` with `params.safetensors` and, in most repositories, `config.json`."""
    config = source.json(SECOND_CONFIG, KINDS)
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise Unreadable(f"is of architecture {config['architecture']!r}; of Gemma Scope 2, jump_relu can be read")
    state = _by_saelens_names(source.tensors(SECOND_WEIGHTS))
    if state["W_dec"].ndim != 2:
        raise Unreadable("writes to several layers (a cross-layer transcoder); give one that writes to its own")
    read, written = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if read is None:
        read, written = _hooks_by_folder(source.trail)
    transcodes = written not in (None, read)
    model = str(config.get("model_name") or _model_by_repository(source.trail) or source.model_name or "")
    metadata = {"hook_name": read, "model_name": model.replace("-v3", "-3")}
    if not transcodes:
        return Contents("jumprelu", state, SETTINGS, metadata)
    metadata["hook_name_out"] = written
    skips = "affine_skip_connection" in state
    if skips != bool(config.get("affine_connection", skips)):
        raise Unreadable("declares an affine connection that its weights do not have, or has one that it does not name")
    if skips:
        state["W_skip"] = state.pop("affine_skip_connection").T
    return Contents("jumprelu_skip_transcoder" if skips else "jumprelu_transcoder", state, SETTINGS, metadata)


def _by_saelens_names(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {re.sub(r"^w_", "W_", name): each for name, each in arrays.items()}


def _hooks_by_folder(trail: str) -> tuple[str | None, str | None]:
    """The hooks of repositories without a configuration, as those with one have them."""
    layer = re.search(r"layer_(\d+)", trail)
    if not layer:
        return None, None
    at = f"model.layers.{layer[1]}"
    if "transcoder" in trail:
        return f"{at}.pre_feedforward_layernorm.output", f"{at}.post_feedforward_layernorm.output"
    hooks = {"attn_out": "self_attn.o_proj.input", "mlp_out": "post_feedforward_layernorm.output"}
    suffix = next((hook for folder, hook in hooks.items() if folder in trail), "output")
    return f"{at}.{suffix}", None


def _model_by_repository(trail: str) -> str | None:
    found = re.search(r"gemma-scope-2-(\d+[mb])-(pt|it)", trail)
    return f"gemma-3-{found[1]}-{found[2]}" if found else None
