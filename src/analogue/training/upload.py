"""Finished SAEs to the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analogue.cli.checks import user_errors
from analogue.errors import UserError
from analogue.hub import hub_errors

KEY = "upload.repository"


def prepare_upload(repository: str) -> None:
    """Make the model repository unless it is there: a missing right shows before training, not after it.

    Raises:
        UserError: no such account, no right to write there, or no network.
    """
    from huggingface_hub import HfApi

    with _upload_errors(repository):
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        api.auth_check(repository, write=True)  # the repository of somebody else passes as one that is there


def upload_saes(folders: list[Path], root: Path, repository: str) -> None:
    """Push SAE folders, under their names below `root`, to a model repository.

    Raises:
        UserError: as for `prepare_upload`; the folders remain.
    """
    from huggingface_hub import HfApi

    with _upload_errors(repository):
        patterns = [f"{folder.relative_to(root).as_posix()}/*" for folder in folders]
        HfApi().upload_folder(repo_id=repository, folder_path=root, allow_patterns=patterns, commit_message="Add SAEs")


@contextmanager
def _upload_errors(repository: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        with user_errors(repository=KEY), hub_errors("repository", repository):
            yield
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code in (401, 403):
            problem = "cannot be written to; log in with `hf auth login` (or set HF_TOKEN) as somebody who may"
            raise UserError(KEY, repository, problem) from error
        raise
    except errors.HFValidationError as error:
        raise UserError(KEY, repository, "is no name of a repository; give OWNER/NAME") from error
