"""Calls to the Hugging Face hub: failures in one sentence, and no repeated attempts where there is no network."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from analogue.errors import ArgumentError, NotFound, Unavailable, first_line

REACHED_WITHIN_S = 5.0
ASKED_EVERY_S = 60.0
OFFLINE = "HF_HUB_OFFLINE"  # a constant of huggingface_hub, of which datasets has a copy


@contextmanager
def hub_errors(argument: str, name: str) -> Iterator[None]:
    """Turn what a download fails with into an `ArgumentError`; any other exception passes through.

    Where the hub does not answer, the libraries that are called within use the local cache only.

    Args:
        argument: the name of the argument that `name` came from.
        name: the repository, as the user gave it.

    Raises:
        NotFound: no such repository, revision or file.
        Unavailable: a gated repository, a broken download, or no network.
    """
    with _cache_without_network():
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


@contextmanager
def _cache_without_network() -> Iterator[None]:
    """Set Hugging Face's libraries to their offline mode while the hub does not answer; leave them as they were.

    Otherwise they ask for every file of every repository several times, with pauses in between, and neither SAELens nor
    `datasets` has an argument against it.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or _hub_answers(int(time.monotonic() // ASKED_EVERY_S)):
        yield
        return
    try:
        _set_offline(True)
        yield
    finally:
        _set_offline(False)


def _set_offline(offline: bool) -> None:
    for name in ("huggingface_hub.constants", "datasets.config"):
        if name in sys.modules:
            setattr(sys.modules[name], OFFLINE, offline)


@lru_cache(maxsize=1)
def _hub_answers(period: int) -> bool:
    """Whether the hub can be reached; it is asked once in each period."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=REACHED_WITHIN_S)
    except Exception:  # of whichever HTTP library huggingface_hub uses
        return False
    return True


def _problem(error: BaseException) -> tuple[type[ArgumentError], str] | None:
    """The error and the sentence for the first known cause in an exception's chain; None if there is none.

    `transformers`, `datasets` and SAELens wrap the hub's errors in their own, so the chain of causes is searched.
    """
    from huggingface_hub import constants, errors

    chain = [*_chain(error)]
    licence = f"accept its licence at {constants.ENDPOINT}, then log in with `hf auth login` or set HF_TOKEN"
    there = "choose a branch, tag or commit that is there"
    private = "check its spelling, or log in with `hf auth login` (or set HF_TOKEN)"
    known: list[tuple[type[Exception], type[ArgumentError], str]] = [
        (errors.GatedRepoError, Unavailable, f"is gated: {licence}"),
        (errors.RevisionNotFoundError, NotFound, f"has no such revision on the hub; {there}"),
        (errors.RepositoryNotFoundError, NotFound, f"is not on the hub, or is private: {private}"),
        (errors.RemoteEntryNotFoundError, NotFound, "lacks a file that is needed; is it the right kind of repository?"),
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
