"""Tables, figures and a page from the records of any number of sweeps: python -m analogue.reporting multirun/..."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from analogue.errors import UserError


def main() -> int:
    """Read the records under the folders given and summarise them."""
    parser = argparse.ArgumentParser(prog="python -m analogue.reporting", description=__doc__)
    parser.add_argument("directory", nargs="+", type=Path, help="folder of a multirun, or of several")
    parser.add_argument("--output", type=Path, help="where the report goes; the folder itself, where there is only one")
    arguments = parser.parse_args()
    output = arguments.output or (arguments.directory[0] if len(arguments.directory) == 1 else Path("report"))
    try:
        for directory in arguments.directory:
            if not directory.is_dir():
                raise UserError("directory", directory, "is not a folder; name the folder of a multirun")
        return _report(arguments.directory, output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _report(directories: list[Path], output: Path) -> int:
    from analogue.reporting.summary import summarise

    try:
        summary = summarise(directories, output, Console())
    except OSError as error:
        raise UserError("--output", output, f"cannot be written ({error.strerror}); choose another folder") from error
    if not summary.grids:
        raise UserError("directory", " ".join(map(str, directories)), "holds no readable result.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
