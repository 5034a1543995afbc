"""SAEs of the hub: of SAELens's list of releases, or of any repository, with the same numbers either way."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from analogue.errors import NotFound
from analogue.hub import hub_errors
from analogue.saes import saelens
from analogue.saes.building import build
from analogue.saes.files import Source, Unreadable
from analogue.saes.formats import described, find_format, patterns


def load_release(name: str, dtype: str) -> Any:
    """Download an SAE, or find it in the hub's cache, and load it.

    SAELens's list holds factors and settings that stand in no file; they are applied to an SAE of that list whether it
    is named by release or by repository. SAELens's own loaders read the formats that have no reader here.

    Args:
        name: `RELEASE:ID` or `OWNER/REPOSITORY:FOLDER`.
        dtype: of the weights.

    Raises:
        NotFound: no such release, SAE or repository, or no SAE in it.
        Unavailable: it cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download
    from sae_lens import SAE

    given, _, sae_id = name.partition(":")
    release, repository, folder = _place(given, sae_id)
    with hub_errors("path", name):
        path = _download(repository, folder)
        source = Source(path, f"{repository}/{folder}", **_listed(release, sae_id, repository, folder))
        found = find_format(source)
        if found is not None:
            return build(found.read(source), dtype)
        release, sae_id = (release, sae_id) if release else _release_of(repository, folder) or ("", "")
        if release and "clt" in f"{repository}/{folder}":
            raise Unreadable("writes to several layers (a cross-layer transcoder); give one that writes to its own")
        if release:
            return SAE.from_pretrained(release, sae_id, dtype=dtype)
        if not path.exists():  # let the hub say why, or its cache
            hf_hub_download(repository, f"{folder}/{saelens.CONFIG}")
    raise NotFound("path", name, described(path))


def _place(release: str, sae_id: str) -> tuple[str | None, str, str]:
    """The release if the name is one, the repository, and the folder or file of an SAE in it."""
    releases = _releases()
    if release in releases:
        ids = releases[release].saes_map
        if sae_id not in ids:
            problem = f"is not in that release; it has {_close(sae_id, [*ids])}"
            raise NotFound("path", f"{release}:{sae_id}", problem)
        return release, releases[release].repo_id, ids[sae_id]
    if "/" not in release:
        near = _close(release, [*releases])
        raise NotFound("path", f"{release}:{sae_id}", f"names no SAELens release; close are {near}")
    return None, release, sae_id.strip("/")


def _download(repository: str, folder: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, allow_patterns=patterns(folder))) / folder


def _listed(release: str | None, sae_id: str, repository: str, folder: str) -> dict[str, Any]:
    """What SAELens's list says of an SAE beyond its files."""
    if release is None:
        found = _release_of(repository, folder)
        if found is None:
            return {}
        release, sae_id = found
    about = _releases()[release]
    overrides = {name: value for name, value in (about.config_overrides or {}).items() if name != "dataset_path"}
    return {
        "overrides": overrides,
        "input_scale": about.norm_scaling_factor.get(sae_id),
        "model_name": about.model,
    }


def _release_of(repository: str, folder: str) -> tuple[str, str] | None:
    """The release and id of a folder; of several the first with a factor, for one list of SAEs may repeat another's."""
    found = [
        (name, sae_id)
        for name, release in _releases().items()
        if release.repo_id == repository
        for sae_id, path in release.saes_map.items()
        if path == folder
    ]
    return next(
        (each for each in found if each[1] in _releases()[each[0]].norm_scaling_factor), next(iter(found), None)
    )


def _releases() -> dict[str, Any]:
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return get_pretrained_saes_directory()


def _close(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=5, cutoff=0.3) or known[:5])
