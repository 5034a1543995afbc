"""The identity of a loaded SAE, and where it was trained."""

import hashlib
import json
import re
from typing import Any

import torch

from analogue.options import Hook

RESID_POST = re.compile(r"(?:blocks\.(\d+)\.hook_resid_post|(?:\w+\.)*(?:layers|h)[._](\d+))")
"""A block's output, as SAELens (`blocks.3.hook_resid_post`) and sparsify (`layers.3`) call it."""


def sae_fingerprint(sae: Any) -> str:
    """SHA-256 of an SAE's configuration and weights, wherever it was loaded from, and of its class if not SAELens's."""
    config = {name: value for name, value in sae.cfg.to_dict().items() if name not in ("metadata", "device")}
    config["activation_fn"] = type(sae.activation_fn).__name__
    if not type(sae).__module__.startswith("sae_lens."):
        config["class"] = f"{type(sae).__module__}.{type(sae).__qualname__}"
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(sae.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def sae_warnings(sae: Any, layer: int, hook: str = Hook.resid_post) -> list[str]:
    """Reasons in an SAE's own metadata not to read `hook` of block `layer` with it, as predicates of that SAE."""
    warnings = []
    trained_on = sae.cfg.metadata.get("hook_name") or ""
    place = RESID_POST.fullmatch(trained_on)
    named = place is not None and int(place[1] or place[2]) == layer and hook == Hook.resid_post
    if re.search(r"\d", trained_on) and not named:  # a name without a number says nothing about the layer
        warnings.append(f"was trained on {trained_on}, and reads {hook} of block {layer}")
    if sae.cfg.normalize_activations == "expected_average_only_in":
        warnings.append("expects scaled activations (expected_average_only_in), but its files hold no scaling factor")
    return warnings
