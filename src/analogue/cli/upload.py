"""Finished SAEs pushed to a model repository of the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analogue.errors import InvalidArgument
from analogue.hub import hub_errors


def prepare_upload(repository: str) -> None:
    """Create the model repository unless it exists, so that a missing permission shows before training, not after it.

    Raises:
        ArgumentError: no such account, no right to write there, or no network.
    """
    with _open_hub(repository) as api:
        api.create_repo(repository, exist_ok=True)
        api.auth_check(repository, write=True)  # `create_repo` accepts an existing repository of somebody else


def upload_saes(folders: list[Path], root: Path, repository: str) -> None:
    """Push SAE folders, under their names below `root`, to a model repository.

    Raises:
        ArgumentError: as for `prepare_upload`; the folders remain.
    """
    patterns = [f"{folder.relative_to(root).as_posix()}/*" for folder in folders]
    with _open_hub(repository) as api:
        api.upload_folder(repo_id=repository, folder_path=root, allow_patterns=patterns, commit_message="Add SAEs")


@contextmanager
def _open_hub(repository: str) -> Iterator[Any]:
    """The hub's API, for writing to a repository; a failure becomes an `ArgumentError`."""
    from huggingface_hub import HfApi, errors

    with hub_errors("repository", repository):
        try:
            yield HfApi()
        except errors.HFValidationError as error:
            problem = "is not the name of a repository; give OWNER/NAME"
            raise InvalidArgument("repository", repository, problem) from error
        except errors.HfHubHTTPError as error:
            if error.response.status_code not in (401, 403):
                raise
            problem = "cannot be written to; log in with `hf auth login` (or set HF_TOKEN) as somebody who may"
            raise InvalidArgument("repository", repository, problem) from error
