"""Where an SAE reads: the one place that understands the names of hooks."""

import re
from typing import Any, NamedTuple

from analogue.options import Hook


class Site(NamedTuple):
    """A block, counted from 0, and the place in it."""

    layer: int
    hook: Hook


TRANSFORMER_LENS = re.compile(r"blocks\.(\d+)\.([\w.]+)")
OF_TRANSFORMER_LENS = {
    "hook_resid_pre": Hook.resid_pre,
    "hook_in": Hook.resid_pre,
    "hook_resid_mid": Hook.resid_mid,
    "hook_mlp_in": Hook.resid_mid,  # the stream that the MLP's branch takes, before its norm
    "hook_resid_post": Hook.resid_post,
    "hook_out": Hook.resid_post,
    "ln2.hook_normalized": Hook.mlp_in,
    "mlp.hook_in": Hook.mlp_in,
    "hook_mlp_out": Hook.mlp_out,
    "mlp.hook_out": Hook.mlp_out,
    "mlp.hook_post": Hook.neurons,
    "hook_attn_out": Hook.attn_out,
    "attn.hook_out": Hook.attn_out,
    "attn.hook_z": Hook.attn_z,
    "hook_z": Hook.attn_z,
}
"""What follows `blocks.N.` in the names of TransformerLens."""

MODULE = re.compile(r"(?:[\w-]+[./])*(?:layers?|h|blocks?)[._](\d+)((?:\.\w+)*)")
OF_MODULES = {
    "": Hook.resid_post,
    "mlp": Hook.mlp_out,
    "feed_forward": Hook.mlp_out,
    "post_feedforward_layernorm": Hook.mlp_out,
    "pre_feedforward_layernorm": Hook.mlp_in,
    "attention": Hook.attn_out,
    "attn": Hook.attn_out,
    "self_attn": Hook.attn_out,
}
"""What the output of a module is, by its name within the block, as transformers and sparsify call it."""

INPUTS_OF_MODULES = {
    "": Hook.resid_pre,
    "mlp": Hook.mlp_in,
    "feed_forward": Hook.mlp_in,
    "mlp.down_proj": Hook.neurons,
    "mlp.c_proj": Hook.neurons,
    "mlp.dense_4h_to_h": Hook.neurons,
    "self_attn.o_proj": Hook.attn_z,
    "attn.c_proj": Hook.attn_z,
    "attention.dense": Hook.attn_z,
}

EMBEDDING = re.compile(r"(?:.*[./])?(?:hook_embed|embed_tokens|embed_in|wte|word_embeddings)")
BEFORE_GAIN = re.compile(r"blocks\.\d+\.ln\d\.hook_normalized")
"""In models with RMSNorm, TransformerLens has this hook between the norm and its gain."""

RESIDUAL = {Hook.resid_pre, Hook.resid_mid, Hook.resid_post}
CENTRED = RESIDUAL | {Hook.mlp_out, Hook.attn_out}
"""The sites without a mean over d_model once the weights that write to the residual stream are centred."""


def sae_site(sae: Any) -> Site | None:
    """Where an SAE reads, by its metadata; None if they name no place, or none that can be read."""
    return site_named(trained_on(sae))


def output_site(sae: Any) -> Site | None:
    """What an SAE reconstructs: its own input, or what a transcoder's metadata say; the MLP's output if nothing."""
    read = sae_site(sae)
    if not hasattr(sae.cfg, "d_out") or read is None:
        return read
    metadata = sae.cfg.metadata
    return site_named(metadata.get("hook_name_out") or "") or Site(read.layer, Hook.mlp_out)


def site_named(name: str) -> Site | None:
    """The site of a hook's or a module's name: `blocks.8.hook_resid_pre`, `model.layers.8.output`, `layers.3.mlp`."""
    known = TRANSFORMER_LENS.fullmatch(name)
    if known and known[2] in OF_TRANSFORMER_LENS:
        return Site(int(known[1]), OF_TRANSFORMER_LENS[known[2]])
    known = MODULE.fullmatch(name)
    if not known:
        return None
    module = known[2].removeprefix(".")
    is_input = module == "input" or module.endswith(".input")
    module = re.sub(r"(?:^|\.)(?:input|output)$", "", module)
    hook = (INPUTS_OF_MODULES if is_input else OF_MODULES).get(module)
    return Site(int(known[1]), hook) if hook else None


def names_a_place(name: str) -> bool:
    """Whether a name says where in a model: a block's part, or the embedding; a folder's name may say nothing."""
    return bool(re.search(r"(?:layers?|h|blocks?)[._]\d", name) or EMBEDDING.fullmatch(name))


def trained_on(sae: Any) -> str:
    """The name of the hook that an SAE was trained on; empty if its metadata have none."""
    return str(sae.cfg.metadata.get("hook_name") or "")


def reads_before_gain(sae: Any) -> bool:
    """Whether TransformerLens has an SAE's hook before the norm's gain, if its model has RMSNorm."""
    return BEFORE_GAIN.fullmatch(trained_on(sae)) is not None


def same_stream(a: tuple[int, str], b: tuple[int, str]) -> bool:
    """Whether two sites are one: the output of a block is the input of the next."""
    return a == b or _as_input(a) == _as_input(b)


def _as_input(site: tuple[int, str]) -> tuple[int, str]:
    layer, hook = site
    return (layer + 1, Hook.resid_pre) if hook == Hook.resid_post else (layer, hook)
