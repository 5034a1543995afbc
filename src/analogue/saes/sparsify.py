"""SAEs and transcoders that EleutherAI's sparsify has saved.

Source:
    github.com/EleutherAI/sparsify, `sparse_coder.py`.
"""

from pathlib import PurePath

import torch

from analogue.saes.building import Contents
from analogue.saes.files import Source, Unreadable, check_kinds, read_json
from analogue.saes.sites import names_a_place

CONFIG = "cfg.json"
WEIGHTS = "sae.safetensors"
KINDS = {"signed": bool, "activation": str, "k": int, "transcode": bool, "skip_connection": bool}
OF_THE_RUN = "config.json"  # one folder up, or two where an SAE has a folder per seed


def read(source: Source) -> Contents:
    """A TopK SAE or transcoder, with a skip connection or without.

    encode: the k highest of ReLU(W_enc (x - b_dec) + b_enc); a transcoder does not subtract b_dec. W_enc and W_dec are
    (d_sae, d_in) in the file, the skip connection is (d_out, d_in). `normalize_decoder` and `multi_topk` concern
    training only. SAELens's converter transposes W_dec, and does not subtract b_dec where `normalize_decoder` is set.
    """
    config = source.json(CONFIG, KINDS)
    if config.get("signed"):
        raise Unreadable("keeps signed activations (signed); features here are non-negative")
    if config.get("activation", "topk") != "topk":
        raise Unreadable(f"has the activation {config['activation']!r}; of sparsify's formats, TopK can be read")
    k = config.get("k")
    if k is None or k < 1:
        raise Unreadable(f"holds k={k} in its {CONFIG}, where the number of active features is needed")
    weights = source.tensors(WEIGHTS)
    w_dec = weights["W_dec"]
    state = {
        "W_enc": weights["encoder.weight"].T,
        "b_enc": weights.get("encoder.bias", torch.zeros(len(w_dec))),
        "W_dec": w_dec,
        "b_dec": weights["b_dec"],
    }
    metadata = _metadata(source)
    transcodes, skips = bool(config.get("transcode")), bool(config.get("skip_connection"))
    if not transcodes and not skips:
        return Contents("topk", state, {"k": k, "apply_b_dec_to_input": True}, metadata)
    if transcodes:
        metadata |= {"hook_name": f"{metadata['hook_name']}.input", "hook_name_out": metadata["hook_name"]}
    else:  # W_enc (x - b_dec) + b_enc, where SAELens's class subtracts nothing
        metadata |= {"hook_name_out": metadata["hook_name"]}
        state["b_enc"] = state["b_enc"] - weights["encoder.weight"] @ weights["b_dec"]
    if skips:
        state["W_skip"] = weights["W_skip"]
    architecture = "topk_skip_transcoder" if skips else "topk_transcoder"
    return Contents(architecture, state, {"k": k, "apply_b_dec_to_input": False}, metadata)


def _metadata(source: Source) -> dict[str, object]:
    """The folder is named after the module, and may lie in that of a run, or hold a folder per seed."""
    *others, last = PurePath(source.trail).parts[-3:]
    hook = next((name for name in (last, *reversed(others)) if names_a_place(name)), last)
    run: dict[str, object] = {}
    for parent in (source.folder.parent, source.folder.parent.parent):
        run = run or read_json(parent / OF_THE_RUN)
    check_kinds(run, {"model": str}, OF_THE_RUN)
    named = {"model_name": run.get("model"), "exclude_special_tokens": run.get("exclude_tokens")}
    return {"hook_name": hook} | {name: value for name, value in named.items() if value}
