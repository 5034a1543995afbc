"""SAEs from a directory, a SAELens release or a hub repository."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from analogue.embedded import locate
from analogue.errors import ArgumentError, InvalidArgument, NotFound, Unavailable, first_line
from analogue.saes.formats import CONFIG, GEMMA_SCOPE_WEIGHTS, SAELENS_WEIGHTS, SPARSIFY_WEIGHTS, Reader, find_reader
from analogue.saes.releases import is_release, load_release


def locate_sae(path: str, layer: int | None = None) -> Path:
    """The directory of one SAE: `path` with `{layer}` filled in.

    Raises:
        NotFound: no such directory, or no SAE of a known format in it.
    """
    return _locate(_fill(path, layer))[0]


def load(path: str, layer: int | None = None, dtype: str = "float32", before_topk: bool = False) -> Any:
    """Load an SAE for inference.

    Args:
        path: a directory in SAELens, sparsify or Gemma Scope format, an `embedded:` name, `RELEASE:ID` of a SAELens
            release, or `OWNER/REPOSITORY:FOLDER` of the hub (no folder: at its top); may hold `{layer}`.
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
        InvalidArgument: weights that are not finite, or an SAE that reads something else than single tokens of a
            residual stream.
    """
    name = _fill(path, layer)
    sae = _load_named(name, dtype)
    for problem in _unfit(sae):
        raise InvalidArgument("path", name, problem)
    if before_topk and sae.cfg.architecture() == "topk":
        sae.activation_fn = nn.ReLU()
    return sae.eval().requires_grad_(False)


def _load_named(name: str, dtype: str) -> Any:
    try:
        if is_release(name) and not name.startswith("embedded:"):
            return load_release(name, dtype)
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
    """What makes an SAE's activations something else than features of single tokens of a residual stream."""
    config = sae.cfg
    if not all(bool(weights.isfinite().all()) for weights in sae.parameters()):
        yield "has weights that are not finite; train or download it again"
    if getattr(config, "k", 0) > config.d_sae:
        yield f"keeps the {config.k} highest of {config.d_sae} features; its {CONFIG} does not fit its weights"
    if config.reshape_activations != "none":
        yield f"reads the outputs of attention heads ({config.reshape_activations}); give one of a residual stream"
    if hasattr(config, "d_out"):
        yield f"is a transcoder ({config.architecture()}); give an SAE, which writes what it reads"
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


def _fill(path: str, layer: int | None) -> str:
    return path if layer is None else path.replace("{layer}", str(layer))
