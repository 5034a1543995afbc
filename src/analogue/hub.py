"""What the Hugging Face hub can answer, as one sentence; and no waiting for it where there is no network."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from analogue.errors import ArgumentError, NotFound, Unavailable, first_line

REACHED_WITHIN_S = 5.0


@contextmanager
def hub_errors(argument: str, name: str) -> Iterator[None]:
    """Turn what a download fails with into an `ArgumentError`; any other exception passes through.

    `transformers`, `datasets` and SAELens wrap the hub's errors in their own, so the whole chain of causes is read.

    Args:
        argument: the name of the argument that `name` came from.
        name: the repository, as the user gave it.

    Raises:
        NotFound: no such repository, revision or file.
        Unavailable: a gated repository, a broken download, or no network.
    """
    use_cache_without_network()
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        found = _problem(error)
        if found is None:
            raise
        kind, problem = found
        raise kind(argument, name, problem) from error


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


def _problem(error: BaseException) -> tuple[type[ArgumentError], str] | None:
    """The first of the known causes in an exception's chain, as an error and its sentence; None if there is none."""
    from huggingface_hub import constants, errors

    chain = [*_chain(error)]
    gone = "is not on the hub, or is private: check its spelling, or log in with `hf auth login` (or set HF_TOKEN)"
    known: list[tuple[type[Exception], type[ArgumentError], str]] = [
        (
            errors.GatedRepoError,
            Unavailable,
            f"is gated: accept its licence at {constants.ENDPOINT}, then log in with `hf auth login` or set HF_TOKEN",
        ),
        (
            errors.RevisionNotFoundError,
            NotFound,
            "has no such revision on the hub; choose a branch, tag or commit that is there",
        ),
        (errors.RepositoryNotFoundError, NotFound, gone),
        (
            errors.RemoteEntryNotFoundError,
            NotFound,
            "lacks a file that is needed; is it the right kind of repository?",
        ),
    ]
    for cause, kind, sentence in known:
        if any(isinstance(each, cause) for each in chain):
            return kind, sentence
    unreachable = (errors.LocalEntryNotFoundError, errors.RevisionResolutionError, ConnectionError)
    if constants.HF_HUB_OFFLINE and any(isinstance(each, unreachable) for each in chain):
        where = f"is not in the local cache, and {constants.ENDPOINT} cannot be reached"
        return Unavailable, f"{where}; connect, or give a local path"
    if any(isinstance(each, errors.HTTPError | ConnectionError) for each in chain):
        return Unavailable, f"cannot be downloaded from {constants.ENDPOINT} ({first_line(chain[-1])}); try again"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
