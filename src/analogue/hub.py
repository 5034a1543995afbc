"""What the Hugging Face hub can answer, as one sentence; and no waiting for it where there is no network."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from analogue.errors import UserError, first_line

REACHED_WITHIN_S = 5.0


@contextmanager
def hub_errors(key: str, name: str) -> Iterator[None]:
    """Turn what a download fails with into a `UserError`; any other exception passes through.

    `transformers`, `datasets` and SAELens wrap the hub's errors in their own, so the whole chain of causes is read.

    Args:
        key: the configuration key that `name` came from.
        name: the repository, as the user gave it.

    Raises:
        UserError: no such repository, revision or file, a gated one, a broken download, or no network.
    """
    use_cache_without_network()
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        problem = _problem(error)
        if problem is None:
            raise
        raise UserError(key, name, problem) from error


@cache
def use_cache_without_network() -> None:
    """Where the hub does not answer, look in the local cache only, for as long as this process lives.

    Without this every file of every repository is asked for several times, with pauses in between. The hub is asked
    once a process; `HF_HUB_OFFLINE=1` spares that too.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=REACHED_WITHIN_S)
    except Exception:  # of whichever HTTP library huggingface_hub uses
        constants.HF_HUB_OFFLINE = True  # read at each request
        if "datasets.config" in sys.modules:  # it has copied the setting; imported later, it copies the new one
            vars(sys.modules["datasets.config"])["HF_HUB_OFFLINE"] = True


def _problem(error: BaseException) -> str | None:
    """The first of the known causes in an exception's chain, told for a user; None if there is none."""
    from huggingface_hub import constants, errors

    chain = [*_chain(error)]
    gone = "is not on the hub, or is private: check its spelling, or log in with `hf auth login` (or set HF_TOKEN)"
    told: list[tuple[type[Exception], str]] = [
        (
            errors.GatedRepoError,
            f"is gated: accept its licence at {constants.ENDPOINT}, then log in with `hf auth login` or set HF_TOKEN",
        ),
        (errors.RevisionNotFoundError, "has no such revision on the hub; choose a branch, tag or commit that is there"),
        (errors.RepositoryNotFoundError, gone),
        (errors.RemoteEntryNotFoundError, "lacks a file that is needed; is it the right kind of repository?"),
    ]
    for kind, sentence in told:
        if any(isinstance(cause, kind) for cause in chain):
            return sentence
    unreachable = (errors.LocalEntryNotFoundError, errors.RevisionResolutionError, ConnectionError)
    if constants.HF_HUB_OFFLINE and any(isinstance(cause, unreachable) for cause in chain):
        return f"is not in the local cache, and {constants.ENDPOINT} cannot be reached; connect, or give a local path"
    if any(isinstance(cause, errors.HTTPError | ConnectionError) for cause in chain):
        return f"cannot be downloaded from {constants.ENDPOINT} ({first_line(chain[-1])}); try again"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
