"""Formats of one file per SAE: Qwen-Scope's `layerN.sae.pt` and OpenAI's `autoencoders/N.pt`."""

import re

from torch import Tensor

from analogue.saes.building import Contents
from analogue.saes.files import Source, Unreadable, read_tensors

QWEN_SCOPE = re.compile(r"layer(\d+)\.sae\.pt")
OPENAI = re.compile(r"(\d+)\.pt")
OPENAI_HOOKS = {
    "resid_post_mlp": "hook_resid_post",
    "resid_post_attn": "hook_resid_mid",
    "resid_delta_mlp": "hook_mlp_out",
    "resid_delta_attn": "hook_attn_out",
    "mlp_post_act": "mlp.hook_post",
}
"""By the folder of a release: `resid_post_mlp_v5_32k/autoencoders/8.pt`."""


def read_qwen_scope(source: Source) -> Contents:
    """W_enc (d_sae, d_in), W_dec (d_in, d_sae): the k highest of W_enc x + b_enc; k stands in the repository's name.

    Source:
        The repositories Qwen/SAE-Res-* of the hub, and their cards.
    """
    layer = QWEN_SCOPE.fullmatch(source.path.name)
    named = re.search(r"SAE-Res-(.+?)-W\d+K-L0_(\d+)", source.trail)
    if not named or not layer:
        raise Unreadable(
            "does not say how many features are active; keep it in a folder named SAE-Res-MODEL-W32K-L0_50"
        )
    weights = read_tensors(source.path)
    state = {"W_enc": weights["W_enc"].T, "b_enc": weights["b_enc"]}
    state |= {"W_dec": weights["W_dec"].T, "b_dec": weights["b_dec"]}
    metadata = {"hook_name": f"blocks.{layer[1]}.hook_resid_post", "model_name": f"Qwen/{named[1]}"}
    return Contents("topk", state, {"k": int(named[2]), "apply_b_dec_to_input": False}, metadata)


def read_openai(source: Source) -> Contents:
    """TopK on layer-normed input, or ReLU on the input itself: an activation of W_enc (x - pre_bias) + latent_bias.

    Source:
        Gao et al. 2024, arXiv 2406.04093; github.com/openai/sparse_autoencoder, `model.py`.
    """
    weights = read_tensors(source.path)
    activation = weights.get("activation", "ReLU")
    about = weights.get("activation_state_dict") or {}
    w_enc = weights["encoder.weight"]
    state: dict[str, Tensor] = {
        "W_enc": w_enc.T,
        "b_enc": weights["latent_bias"],
        "W_dec": weights["decoder.weight"].T if "decoder.weight" in weights else w_enc,  # tied
        "b_dec": weights["pre_bias"],
    }
    layer, location = OPENAI.fullmatch(source.path.name), re.search("|".join(OPENAI_HOOKS), source.trail)
    metadata = {"model_name": "gpt2"}
    if layer and location:
        metadata["hook_name"] = f"blocks.{layer[1]}.{OPENAI_HOOKS[location[0]]}"
    settings: dict[str, object] = {"apply_b_dec_to_input": True}
    if activation == "ReLU":
        return Contents("standard", state, settings, metadata)
    if activation != "TopK" or about.get("postact_fn", "ReLU") != "ReLU":
        raise Unreadable(
            f"has the activation {activation} {about or ''}; of OpenAI's, TopK with ReLU, and ReLU, are read"
        )
    settings |= {"k": int(about["k"]), "normalize_activations": "layer_norm"}
    return Contents("topk", state, settings, metadata)
