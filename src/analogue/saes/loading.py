"""SAEs from a directory in SAELens or sparsify format."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from analogue.embedded import locate
from analogue.errors import UserError

SAELENS_WEIGHTS = "sae_weights.safetensors"
SPARSIFY_WEIGHTS = "sae.safetensors"
CONFIG = "cfg.json"


def locate_sae(path: str, layer: int | None = None, key: str = "sae.path") -> Path:
    """The directory of one SAE: `path` with `{layer}` filled in.

    Raises:
        UserError: no such directory, or neither a SAELens nor a sparsify SAE in it.
    """
    filled = path if layer is None else path.replace("{layer}", str(layer))
    directory = Path(locate(filled, key)).expanduser()
    if not directory.is_dir():
        raise UserError(key, filled, "is not a directory; give a directory in SAELens or sparsify format")
    if not (directory / CONFIG).is_file() or not any(
        (directory / weights).is_file() for weights in (SAELENS_WEIGHTS, SPARSIFY_WEIGHTS)
    ):
        wanted = f"{CONFIG} with {SAELENS_WEIGHTS} (SAELens) or {SPARSIFY_WEIGHTS} (sparsify)"
        raise UserError(key, filled, f"holds no SAE; a directory with {wanted} is needed")
    return directory


def load(path: str, layer: int | None = None, dtype: str = "float32", key: str = "sae.path") -> Any:
    """Load an SAE for inference.

    Args:
        path: directory in SAELens or sparsify format, or an `embedded:` name; may hold `{layer}`.
        layer: what `{layer}` stands for.
        dtype: of the weights and of what `encode` returns.
        key: the configuration key that the path came from, for errors.

    Returns:
        A `sae_lens.SAE`: `encode(resid)` takes (n_tokens, d_in) to non-negative, dense (n_tokens, d_sae) feature
        activations, `decode` goes back, and row i of `W_dec` (d_sae, d_in) is feature i's direction.

    Raises:
        UserError: no SAE there, a format or architecture that is not known, or weights that are not finite.
    """
    directory = locate_sae(path, layer, key)
    read = _read_saelens if (directory / SAELENS_WEIGHTS).is_file() else _read_sparsify
    try:
        sae = read(directory, dtype)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(key, directory, f"cannot be loaded as an SAE ({reason}); check its {CONFIG}") from error
    if not all(bool(weights.isfinite().all()) for weights in sae.parameters()):
        raise UserError(key, directory, "has weights that are not finite; train or download it again")
    return sae.eval().requires_grad_(False)


def _read_saelens(directory: Path, dtype: str) -> Any:
    from sae_lens import SAE

    return SAE.load_from_disk(directory, dtype=dtype)


def _read_sparsify(directory: Path, dtype: str) -> Any:
    """A sparsify SAE as the SAELens TopK SAE that computes the same: top k of W_enc (x - b_dec) + b_enc, then ReLU.

    sparsify keeps W_enc as (d_sae, d_in) and W_dec as (d_sae, d_in); `normalize_decoder` concerns training only.
    """
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    if config.get("activation", "topk") != "topk" or config.get("transcode") or config.get("skip_connection"):
        raise ValueError("of sparsify's formats, TopK SAEs can be read, not group-max ones or transcoders")
    weights = load_file(directory / SPARSIFY_WEIGHTS)
    d_sae, d_in = weights["W_dec"].shape
    sae = TopKSAE(TopKSAEConfig(d_in=d_in, d_sae=d_sae, k=config["k"], dtype=dtype, apply_b_dec_to_input=True))
    state = {
        "W_enc": weights["encoder.weight"].T.contiguous(),
        "b_enc": weights["encoder.bias"],
        "W_dec": weights["W_dec"],
        "b_dec": weights["b_dec"],
    }
    sae.load_state_dict({name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()})
    return sae
