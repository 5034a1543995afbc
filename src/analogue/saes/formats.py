"""SAE directories in the formats of SAELens, sparsify and Gemma Scope, each read as an SAE of SAELens."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

CONFIG = "cfg.json"
SAELENS_WEIGHTS = "sae_weights.safetensors"
SPARSIFY_WEIGHTS = "sae.safetensors"
GEMMA_SCOPE_WEIGHTS = "params.npz"

Reader = Callable[[Path, str], Any]


def find_reader(directory: Path) -> Reader | None:
    """What reads the SAE in `directory` in a given dtype; None if no known files are there."""
    if (directory / GEMMA_SCOPE_WEIGHTS).is_file():
        return read_gemma_scope
    if not (directory / CONFIG).is_file():
        return None
    readers: list[tuple[str, Reader]] = [(SAELENS_WEIGHTS, read_saelens), (SPARSIFY_WEIGHTS, read_sparsify)]
    return next((read for weights, read in readers if (directory / weights).is_file()), None)


def read_saelens(directory: Path, dtype: str) -> Any:
    """An SAE that SAELens saved, of any architecture it knows."""
    from sae_lens import SAE

    return SAE.load_from_disk(directory, dtype=dtype)


def read_sparsify(directory: Path, dtype: str) -> Any:
    """A sparsify SAE as the SAELens TopK SAE that computes the same: top k of W_enc (x - b_dec) + b_enc, then ReLU.

    sparsify keeps W_enc as (d_sae, d_in) and W_dec as (d_sae, d_in); `normalize_decoder` concerns training only. The
    converter of SAELens transposes W_dec, and does not subtract b_dec where `normalize_decoder` is set.
    """
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    if config.get("activation", "topk") != "topk" or any(map(config.get, ("signed", "transcode", "skip_connection"))):
        raise ValueError("of sparsify's formats, TopK SAEs can be read, not signed or group-max ones or transcoders")
    k = config.get("k")
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"its {CONFIG} holds k={k}, where the number of active features is needed")
    weights = load_file(directory / SPARSIFY_WEIGHTS)
    d_sae, d_in = weights["W_dec"].shape
    settings = TopKSAEConfig(d_in=d_in, d_sae=d_sae, k=k, dtype=dtype, device="meta", apply_b_dec_to_input=True)
    sae = TopKSAE(settings)
    sae.cfg.metadata.hook_name = directory.name  # sparsify names an SAE's folder after the module it was trained on
    state = {
        "W_enc": weights["encoder.weight"].T,
        "b_enc": weights["encoder.bias"],
        "W_dec": weights["W_dec"],
        "b_dec": weights["b_dec"],
    }
    return _with_weights(sae, state, dtype)


def read_gemma_scope(directory: Path, dtype: str) -> Any:
    """A Gemma Scope SAE as SAELens's JumpReLU SAE. SAELens's own reader takes the sizes from the folder's name."""
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    with np.load(directory / GEMMA_SCOPE_WEIGHTS, allow_pickle=False) as arrays:
        state = {name.replace("w_", "W_"): torch.from_numpy(arrays[name]) for name in arrays}
    d_sae, d_in = state["W_dec"].shape
    settings = JumpReLUSAEConfig(d_in=d_in, d_sae=d_sae, dtype=dtype, device="meta", apply_b_dec_to_input=False)
    return _with_weights(JumpReLUSAE(settings), state, dtype)


def _with_weights(sae: Any, state: Mapping[str, torch.Tensor], dtype: str) -> Any:
    """Fill an SAE that was made on the meta device, without memory for weights of its own."""
    wanted = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in state.items()}
    sae.load_state_dict(wanted, assign=True)
    return sae.to("cpu")
