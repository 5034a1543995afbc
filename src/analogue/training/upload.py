"""Finished SAEs to the hub."""

from pathlib import Path

from analogue.hub import hub_errors


def upload_saes(folders: list[Path], root: Path, repository: str) -> None:
    """Push SAE folders, under their names below `root`, to a model repository; it is made if there is none.

    Raises:
        UserError: no such account, no right to write there, or no network.
    """
    from huggingface_hub import HfApi

    with hub_errors("upload.repository", repository):
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        patterns = [f"{folder.relative_to(root).as_posix()}/*" for folder in folders]
        api.upload_folder(repo_id=repository, folder_path=root, allow_patterns=patterns, commit_message="Add SAEs")
