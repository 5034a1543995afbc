"""The identity of a loaded SAE, and what its metadata say against using it somewhere."""

import hashlib
import json
from typing import Any

import torch

from analogue.options import Hook
from analogue.saes.files import parts_of
from analogue.saes.inputs import OF_REVISION, is_centred, model_settings
from analogue.saes.sites import names_a_place, sae_site, same_stream, trained_on


def sae_fingerprint(sae: Any) -> str:
    """SHA-256 of an SAE's configuration and weights, wherever it was loaded from, and of its class if not SAELens's."""
    config = {name: value for name, value in sae.cfg.to_dict().items() if name not in ("metadata", "device")}
    config["activation_fn"] = type(sae.activation_fn).__name__
    if is_centred(sae):
        config["centred"] = True
    if not type(sae).__module__.startswith("sae_lens."):
        config["class"] = f"{type(sae).__module__}.{type(sae).__qualname__}"
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(sae.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        for rows in parts_of(tensor.detach()):
            digest.update(rows.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def sae_warnings(
    sae: Any,
    layer: int,
    hook: str = Hook.resid_post,
    model_name: str | None = None,
    randomize: str | None = None,
    randomize_seed: int = 0,
) -> list[str]:
    """Reasons in an SAE's own metadata not to read `hook` of block `layer` with it, as predicates of that SAE.

    Args:
        sae: of SAELens.
        layer: block, counted from 0.
        hook: where in the block it reads.
        model_name: of the model that it reads; None to leave that out.
        randomize: which parameters of that model are redrawn; None for none.
        randomize_seed: of the redrawing.
    """
    warnings = []
    name, site = trained_on(sae), sae_site(sae)
    is_elsewhere = not same_stream(site, (layer, hook)) if site else names_a_place(name)
    if is_elsewhere:
        warnings.append(f"was trained on {name}, and reads {hook} of block {layer}")
    if sae.cfg.normalize_activations == "expected_average_only_in":
        warnings.append("expects scaled activations (expected_average_only_in), and came without a scaling factor")
    metadata = sae.cfg.metadata
    if model_name is not None and not same_model(metadata.get("model_name") or model_name, model_name):
        warnings.append(f"was trained on {metadata.get('model_name')}, and reads {model_name}")
    redrawn = metadata.get("randomize"), metadata.get("randomize_seed")
    if redrawn[0] and redrawn != (randomize, randomize_seed):
        as_it_is = f"with redrawn weights (randomize={randomize}, seed {randomize_seed})" if randomize else "as it is"
        drawn = f"with redrawn weights (randomize={redrawn[0]}, seed {redrawn[1]})"
        warnings.append(f"was trained on the model {drawn}, and reads it {as_it_is}")
    for setting in sorted(OF_REVISION & model_settings(sae).keys()):
        warnings.append(f"was trained on the checkpoint {setting}={model_settings(sae)[setting]} of its model")
    if metadata.get("finished") is False:
        warnings.append(
            f"was stopped after {metadata.get('n_training_tokens')} tokens, before its training was finished"
        )
    positions = metadata.get("seqpos_slice")
    if positions and any(each is not None for each in positions):
        warnings.append(f"was trained on the positions {':'.join(map(_or_empty, positions))} of each text only")
    return warnings


def same_model(a: str, b: str) -> bool:
    """Whether two names mean one model, as far as names tell.

    The owner and capital letters do not count, and TransformerLens's short names mean what they mean there:
    `pythia-70m-deduped` and `EleutherAI/pythia-70m-deduped` are one, `gpt2-small` and `openai-community/gpt2`, too.
    """
    return _official(a) == _official(b)


def _official(name: str) -> str:
    from transformer_lens.loading_from_pretrained import get_official_model_name

    name = name.rstrip("/")
    for each in (name, name.rpartition("/")[2]):
        try:
            name = get_official_model_name(each)
            break
        except ValueError:
            continue
    last = name.rpartition("/")[2].lower()
    return last.removeprefix("meta-") if last.startswith("meta-llama") else last


def _or_empty(position: object) -> str:
    return "" if position is None else str(position)
