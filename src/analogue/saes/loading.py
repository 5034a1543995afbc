"""SAEs: from a directory, a SAELens release or a hub repository, or objects at hand."""

from collections.abc import Iterator
from copy import deepcopy
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analogue.embedded import PREFIX, locate
from analogue.errors import ArgumentError, InvalidArgument, NotFound, Unavailable, first_line
from analogue.hub import hub_errors
from analogue.saes.formats import (
    CONFIG,
    GEMMA_SCOPE_WEIGHTS,
    SAELENS_WEIGHTS,
    SPARSIFY_WEIGHTS,
    Reader,
    find_reader,
    read_gemma_scope,
    read_sparsify,
)


def load(
    path: str | PathLike[str] | nn.Module, layer: int | None = None, dtype: str = "float32", before_topk: bool = False
) -> Any:
    """Load an SAE for inference.

    Args:
        path: a directory in SAELens, sparsify or Gemma Scope format, an `embedded:` name, `RELEASE:ID` of a SAELens
            release, or `OWNER/REPOSITORY:FOLDER` of the hub (no folder: at its top); may hold `{layer}`. Or a
            `sae_lens.SAE`, which is copied and stays as it is.
        layer: what `{layer}` stands for.
        dtype: of the weights and of what `encode` returns.
        before_topk: let `encode` of a TopK SAE return all of its ReLU'd pre-activations, as the paper's published code
            does, not the k highest alone.

    Returns:
        A `sae_lens.SAE`: `encode(resid)` takes (n_tokens, d_in) to non-negative, dense (n_tokens, d_sae) feature
        activations, `decode` goes back, and row i of `W_dec` (d_sae, d_in) is feature i's direction.

    Raises:
        NotFound: no SAE there.
        Unavailable: it cannot be downloaded, or its files are damaged or of a format that is not known.
        InvalidArgument: weights that are not finite, an SAE that reads something else than single tokens of a residual
            stream, or an object that is no SAE for inference.

    Example:
        >>> tuple(load(path="embedded:stories-6-saes/layer_{layer}", layer=3).W_dec.shape)
        (768, 96)
    """
    if isinstance(path, nn.Module):
        name = type(path).__name__
        sae = _copy(path, name, dtype)
    else:
        name = str(path) if layer is None else str(path).replace("{layer}", str(layer))
        sae = _load_named(name, dtype)
    for problem in _unfit(sae):
        raise InvalidArgument("path", name, problem)
    if before_topk and sae.cfg.architecture() == "topk":
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
        if ":" in name and not name.startswith(PREFIX) and not Path(name).expanduser().exists():
            return _load_release(name, dtype)
        directory, read = _locate(name)
        return read(directory, dtype)
    except ArgumentError:
        raise
    except Exception as error:  # whatever a damaged file leads to, in the library that reads its format
        reason = " ".join(str(error).split()) if isinstance(error, RuntimeError) else first_line(error)
        reason = f"{reason} is missing" if isinstance(error, KeyError) else reason
        problem = f"cannot be loaded as an SAE ({reason}); its files are damaged or do not fit each other"
        raise Unavailable("path", name, problem) from error


def _unfit(sae: Any) -> Iterator[str]:
    """Reasons why an SAE's activations are not features of single tokens of a residual stream."""
    config = sae.cfg
    if not all(bool(weights.isfinite().all()) for weights in sae.parameters()):
        yield "has weights that are not finite; train or download it again"
    if getattr(config, "k", 0) > config.d_sae:
        yield f"keeps the {config.k} highest of {config.d_sae} features; its {CONFIG} does not fit its weights"
    if config.reshape_activations != "none":
        yield f"reads the outputs of attention heads ({config.reshape_activations}); give one of a residual stream"
    if hasattr(config, "d_out"):
        yield f"is a transcoder ({config.architecture()}); give an SAE, which reconstructs its own input"
    if config.architecture() == "temporal":
        yield "reads whole sequences (temporal); give an SAE that reads token by token"


def _locate(name: str) -> tuple[Path, Reader]:
    directory = Path(locate(name, "path")).expanduser()
    if not directory.is_dir():
        problem = "is not a directory; give one in SAELens or sparsify format, RELEASE:ID or OWNER/REPOSITORY:FOLDER"
        raise NotFound("path", name, problem)
    read = find_reader(directory)
    if read is None:
        wanted = f"{CONFIG} with {SAELENS_WEIGHTS} (SAELens) or {SPARSIFY_WEIGHTS} (sparsify), or {GEMMA_SCOPE_WEIGHTS}"
        raise NotFound("path", name, f"holds no SAE; a directory with {wanted} is needed")
    return directory, read


def _load_release(name: str, dtype: str) -> Any:
    """Download an SAE, or find it in the hub's cache, and load it.

    SAELens knows how each of its releases is scaled and laid out: it folds factors that stand in no file into the
    weights. Our own readers read only sparsify's files, which SAELens converts wrongly, and Gemma Scope's, whose sizes
    it takes from the folder's name.
    """
    from sae_lens import SAE

    release, _, sae_id = name.partition(":")
    repository, folder, is_saelens_release = _repository_and_folder(release, sae_id)
    with hub_errors("path", name):
        directory = _download_known_files(repository, folder)
        read = find_reader(directory)
        if read in (read_sparsify, read_gemma_scope) or (read and not is_saelens_release):
            return read(directory, dtype)
        return SAE.from_pretrained(release, sae_id, dtype=dtype)


def _download_known_files(repository: str, folder: str) -> Path:
    from huggingface_hub import snapshot_download

    names = ("*.json", SAELENS_WEIGHTS, SPARSIFY_WEIGHTS, GEMMA_SCOPE_WEIGHTS)
    files = [f"{folder}/{name}" if folder else name for name in names]
    return Path(snapshot_download(repository, allow_patterns=files)) / folder


def _repository_and_folder(release: str, sae_id: str) -> tuple[str, str, bool]:
    """The place of an SAE on the hub, and whether it is of a SAELens release."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = get_pretrained_saes_directory()
    if release in releases:
        ids = releases[release].saes_map
        if sae_id not in ids:
            problem = f"is not in that release; it has {_close(sae_id, [*ids])}"
            raise NotFound("path", f"{release}:{sae_id}", problem)
        return releases[release].repo_id, ids[sae_id], True
    if "/" not in release:
        near = _close(release, [*releases])
        raise NotFound("path", f"{release}:{sae_id}", f"names no SAELens release; close are {near}")
    return release, sae_id.strip("/"), False


def _close(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=5, cutoff=0.3) or known[:5])
