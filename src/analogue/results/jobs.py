"""The jobs of one or more sweeps, read back from their folders."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analogue.results.record import (
    EXPLORER_FILE,
    NULLS_FILE,
    PAIRS_FILE,
    RESULT_FILE,
    TRANSFER_FILE,
    ComparisonResult,
    read_record,
    write_text,
)
from analogue.results.schema import DamagedRecord, check_record, read_json

FAILURE_FILE = "failure.json"
TRACEBACK_FILE = "traceback.txt"

log = logging.getLogger(__name__)

CHOICES = "choices"
"""The entry of a record's settings that names the option chosen of each group: `{"filters": "none"}`."""

# Settings that decide where a job writes and what it shares with others, not what it finds.
PLACES = frozenset({"output_dir", "logger", "cache", "sweep", "layers_per_pass", "explore", CHOICES})


@dataclass(frozen=True)
class Job:
    """A finished job: its record, and the folder that holds it.

    Attributes:
        name: the folder, seen from the sweep.
    """

    name: str
    directory: Path
    result: ComparisonResult


@dataclass(frozen=True)
class Failure:
    """A job that ended with an error; `failure.json` is this record, the traceback lies beside it.

    Attributes:
        error: one sentence for a user's error, the exception's type and message for any other.
    """

    error: str
    config: dict[str, Any]
    traceback: str = TRACEBACK_FILE


def read_jobs(directories: Sequence[str | Path]) -> list[Job]:
    """The finished jobs under some folders, in the order of their numbers; a damaged record is logged and left out."""
    found = {name: _read_job(name, file.parent) for name, file in _files(directories, RESULT_FILE)}
    return [job for job in found.values() if job is not None]


def read_failures(directories: Sequence[str | Path]) -> dict[str, Failure]:
    """The failed jobs under some folders, by name; one whose record is damaged has failed too."""
    return {name: _read_failure(file) for name, file in _files(directories, FAILURE_FILE)}


def write_failure(failure: Failure, traceback: str, directory: str | Path) -> None:
    """Write the traceback, then the record that names it."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(traceback, directory / TRACEBACK_FILE)
    write_text(json.dumps(asdict(failure), indent=2) + "\n", directory / FAILURE_FILE)


def clear(directory: Path) -> None:
    """Remove what an earlier job left in the folder of a job that is about to start."""
    files = (RESULT_FILE, PAIRS_FILE, NULLS_FILE, TRANSFER_FILE, EXPLORER_FILE, FAILURE_FILE, TRACEBACK_FILE)
    for name in files:
        (directory / name).unlink(missing_ok=True)


def identity(config: Mapping[str, Any], without: frozenset[str] = PLACES) -> str:
    """Equal for configurations that ask for the same comparison."""
    return json.dumps(decisive_settings(config, without), sort_keys=True, default=str)


def decisive_settings(config: Mapping[str, Any], without: frozenset[str] = PLACES) -> dict[str, Any]:
    """The settings that decide what a job finds."""
    return {name: value for name, value in config.items() if name not in without}


def _files(directories: Sequence[str | Path], name: str) -> Iterator[tuple[str, Path]]:
    roots = [Path(directory).resolve() for directory in directories]
    top = roots[0] if len(roots) == 1 else Path(os.path.commonpath(roots))
    files = {file.parent.relative_to(top).as_posix(): file for root in roots for file in root.rglob(name)}
    yield from sorted(files.items(), key=lambda item: _natural(item[0]))


def _read_job(name: str, directory: Path) -> Job | None:
    try:
        return Job(name, directory, read_record(directory / RESULT_FILE))
    except (OSError, DamagedRecord) as error:
        log.warning("%s, and left out", error)
        return None


def _read_failure(file: Path) -> Failure:
    try:
        fields = read_json(file.read_text(encoding="utf-8"))
        check_record(Failure, fields)
        return Failure(**fields)
    except (OSError, ValueError) as error:
        return Failure(f"{FAILURE_FILE} is not readable ({error})", {})


def _natural(name: str) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
