"""SAEs by name: `RELEASE:ID` of a SAELens release, or `OWNER/REPOSITORY:FOLDER` of the hub."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from analogue.errors import NotFound
from analogue.hub import hub_errors
from analogue.saes.formats import (
    GEMMA_SCOPE_WEIGHTS,
    SAELENS_WEIGHTS,
    SPARSIFY_WEIGHTS,
    find_reader,
    read_gemma_scope,
    read_sparsify,
)


def is_release(path: str) -> bool:
    """Whether `path` names an SAE of a release rather than a directory."""
    return ":" in path and not Path(path).expanduser().exists()


def load_release(name: str, dtype: str) -> Any:
    """Download an SAE, or find it in the hub's cache, and load it.

    SAELens knows how each of its releases is scaled and laid out: a factor that stands in no file is folded into the
    weights. Only sparsify's files, which it converts wrongly, and Gemma Scope's, whose sizes it takes from the folder's
    name, are read by our own readers.

    Args:
        name: `RELEASE:ID` or `OWNER/REPOSITORY:FOLDER`, with no folder where the SAE lies at the top.
        dtype: of the weights.

    Raises:
        NotFound: no such release or id (close matches are listed).
        Unavailable: it cannot be downloaded.
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
    """Where an SAE lies on the hub, and whether SAELens knows it as one of a release."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = get_pretrained_saes_directory()
    if release in releases:
        ids = releases[release].saes_map
        if sae_id not in ids:
            raise NotFound("path", f"{release}:{sae_id}", f"is not in that release; it has {_close(sae_id, [*ids])}")
        return releases[release].repo_id, ids[sae_id], True
    if "/" not in release:
        near = _close(release, [*releases])
        raise NotFound("path", f"{release}:{sae_id}", f"names no SAELens release; close are {near}")
    return release, sae_id.strip("/"), False


def _close(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=5, cutoff=0.3) or known[:5])
