"""SAEs from a directory or a file, a SAELens release or a hub repository, or objects at hand."""

from collections.abc import Iterator
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analogue.embedded import PREFIX, locate
from analogue.errors import InvalidArgument, NotFound, Unavailable, UserError, check_path, first_line
from analogue.saes.building import build
from analogue.saes.files import Source, Unreadable, parts_of
from analogue.saes.formats import described, find_format, saes_named_alike
from analogue.saes.inputs import centre_input, check_model_settings, wants_centring
from analogue.saes.releases import load_release

TRANSCODER = "is a transcoder, or has a skip connection ({}): its decoder does not give back what it reads; {}"
INSTEAD = "give an SAE, or let transcoders=True"


def load(
    path: str | PathLike[str] | nn.Module,
    layer: int | None = None,
    dtype: str = "float32",
    before_topk: bool = False,
    transcoders: bool = False,
    centre: bool = True,
) -> Any:
    """Load an SAE for inference.

    Args:
        path: a directory or a file in one of the formats of `docs/saes.md`, an `embedded:` name, `RELEASE:ID` of a
            SAELens release, or `OWNER/REPOSITORY:FOLDER` of the hub (no folder: at its top; or a file); may hold
            `{layer}`. Or a `sae_lens.SAE`, which is copied and stays as it is.
        layer: what `{layer}` stands for.
        dtype: of the weights and of what `encode` returns.
        before_topk: let `encode` of a TopK SAE return all of its ReLU'd pre-activations, as the paper's published code
            does, not only the k highest.
        transcoders: whether a transcoder is accepted: its decoder rows lie in the stream that it writes to.
        centre: let `encode` subtract each token's mean over d_model, where the SAE's metadata say that its model's
            writing weights were centred. False for a model without LayerNorm, whose weights are never centred.

    Returns:
        A `sae_lens.SAE`: `encode(resid)` takes (n_tokens, d_in) to non-negative, dense (n_tokens, d_sae) feature
        activations, `decode` goes back, and row i of `W_dec` (d_sae, d_in) is feature i's direction. Whatever the
        files say about scaling or normalising the input is part of `encode`.

    Raises:
        NotFound: no SAE there.
        Unavailable: it cannot be downloaded, or its files cannot be read.
        InvalidArgument: weights that are not finite, an SAE that cannot be read as its files want it, a transcoder that
            was not asked for, or an object that is no SAE for inference.

    Example:
        >>> tuple(load(path="embedded:stories-6-saes/layer_{layer}", layer=3).W_dec.shape)
        (768, 96)
    """
    name = type(path).__name__
    if not isinstance(path, nn.Module):
        name = str(path) if layer is None else str(path).replace("{layer}", str(layer))
    try:
        sae = _copy(path, name, dtype) if isinstance(path, nn.Module) else _load_named(name, dtype)
        _check(sae, transcoders)
        if centre and wants_centring(sae):
            centre_input(sae)
    except Unreadable as problem:
        raise InvalidArgument("path", name, str(problem)) from problem
    if before_topk and sae.cfg.architecture().startswith("topk"):
        sae.activation_fn = nn.ReLU()
    return sae.eval().requires_grad_(False)


def _copy(sae: Any, name: str, dtype: str) -> Any:
    from sae_lens import SAE, TrainingSAE

    if not isinstance(sae, SAE):
        raise InvalidArgument("path", name, "is not an SAE of SAELens; give a sae_lens.SAE, or where one lies")
    if isinstance(sae, TrainingSAE):  # some choose the features of a batch together
        problem = "is an SAE in training; write it with save_inference_model, and give that directory"
        raise InvalidArgument("path", name, problem)
    return deepcopy(sae).to(device="cpu", dtype=getattr(torch, dtype))


def _load_named(name: str, dtype: str) -> Any:
    try:
        if ":" in name and not name.startswith(PREFIX) and not _is_there(name):
            return load_release(name, dtype)
        path = Path(locate(name, "path")).expanduser()
        check_path("path", path)
        source = Source(path, path.resolve().as_posix())
        found = find_format(source)
        if not path.exists():
            problem = "is not a directory; give one that holds an SAE, RELEASE:ID or OWNER/REPOSITORY:FOLDER"
            if siblings := saes_named_alike(path):
                problem = f"is not a directory; {path.parent} holds {', '.join(siblings)}"
            raise NotFound("path", name, problem)
        if found is None:
            raise NotFound("path", name, described(path))
        return build(found.read(source), dtype)
    except (UserError, Unreadable):
        raise
    except Exception as error:  # whatever a damaged file leads to, in the library that reads its format
        reason = " ".join(str(error).split()) if isinstance(error, RuntimeError) else first_line(error)
        reason = f"{reason} is missing" if isinstance(error, KeyError) else reason
        problem = f"cannot be loaded as an SAE ({reason}); download or save it again"
        raise Unavailable("path", name, problem) from error


def _check(sae: Any, transcoders: bool) -> None:
    """Raise `Unreadable` for an SAE whose activations are not features of single tokens."""
    for problem in _unfit(sae, transcoders):
        raise Unreadable(problem)
    check_model_settings(sae)
    if sae.cfg.reshape_activations == "hook_z":  # sites give the outputs of all heads as one vector
        sae.turn_off_forward_pass_hook_z_reshaping()
        sae.cfg.reshape_activations = "none"


def _unfit(sae: Any, transcoders: bool) -> Iterator[str]:
    config = sae.cfg
    if not all(bool(rows.isfinite().all()) for weights in sae.parameters() for rows in parts_of(weights)):
        yield "has weights that are not finite; train or download it again"
    if getattr(config, "k", 0) > config.d_sae:
        yield f"keeps the {config.k} highest of {config.d_sae} features; its configuration does not fit its weights"
    if hasattr(config, "d_out") and not transcoders:
        yield TRANSCODER.format(config.architecture(), INSTEAD)
    if config.architecture() == "temporal":
        yield "reads whole sequences (temporal); give an SAE that reads token by token"
    if config.architecture() == "abstopk":
        yield "keeps negative activations (abstopk); features here are non-negative, so give an SAE with ReLU or TopK"


def _is_there(name: str) -> bool:
    check_path("path", Path(name).expanduser())
    return Path(name).expanduser().exists()
