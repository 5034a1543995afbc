"""Tables, figures and a page from the records of any number of sweeps: analogue report multirun/..."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analogue.errors import UserError, check_path


def main(argv: Sequence[str] | None = None) -> int:
    """Summarise the records under the folders that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="analogue report", description=__doc__)
    parser.add_argument("directory", nargs="+", type=Path, help="folder of a multirun, or of several")
    parser.add_argument("--output", type=Path, help="folder for the report; the default is the folder of the multirun")
    arguments = parser.parse_args(argv)
    directories: list[Path] = arguments.directory
    output = arguments.output or (directories[0] if len(directories) == 1 else Path("report"))
    try:
        _report(directories, output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _report(directories: Sequence[Path], output: Path) -> None:
    for directory in directories:
        check_path("directory", directory)
        if not directory.is_dir():
            raise UserError("directory", directory, "is not a folder; name the folder of a multirun")
    from analogue.reporting.console import plain_console
    from analogue.reporting.summary import summarise

    try:
        summary = summarise(directories, output, plain_console())
    except OSError as error:
        raise UserError("--output", output, f"cannot be written ({error.strerror}); choose another folder") from error
    if not summary.grids:
        raise UserError("directory", " ".join(map(str, directories)), "holds no readable result.json")
