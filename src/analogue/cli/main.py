"""The command `analogue`: `analogue compare`, `universality`, `train-sae`, `explore` and `report`."""

import os
import sys
from typing import NoReturn

from analogue import __version__

USAGE = """\
usage: analogue COMMAND ...

Do different language models learn the same features?

  analogue compare [KEY=VALUE ...]      compare the SAE feature spaces of two language models; -m sweeps
  analogue universality [KEY=VALUE ...] find the features that many spaces have in common
  analogue train-sae [KEY=VALUE ...]    train sparse autoencoders on a language model
  analogue explore DIRECTORY            a page to look at the features of a finished comparison
  analogue report DIRECTORY ...         tables, figures and a page from the records of any number of sweeps

analogue COMMAND --help explains a command; analogue --version. Shell completion: eval "$(analogue -sc install=bash)"
"""
COMMANDS = ("compare", "universality", "train-sae", "explore", "report")


def main() -> NoReturn:
    """Run the command that the first argument names, and end the process."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command == "-sc":  # Hydra's completion asks on behalf of the command on the line that is being typed
        words = os.environ.get("COMP_LINE", "").split(" ")
        if len(words) < 3 and arguments[:1] == ["query=bash"]:
            print(" ".join(COMMANDS))
            sys.exit(0)
        command = words[1] if words[1:2] and words[1] in COMMANDS else "compare"
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
        arguments = sys.argv[1:]
    if command in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0)
    if command in ("-V", "--version"):
        print(f"analogue {__version__}")
        sys.exit(0)
    if command not in COMMANDS:
        print(f"error: analogue {command}: choose from {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    if command == "report":
        from analogue.cli.report import main as report
        from analogue.cli.terminal import print_patiently

        print_patiently()
        sys.exit(report(arguments))
    if command == "explore":
        from analogue.cli.explore import main as explore

        sys.exit(explore(arguments))
    sys.argv = [sys.argv[0], *arguments]
    if command == "compare":
        from analogue.cli.compare import main as compare

        compare(command)
    if command == "universality":
        from analogue.cli.universality import main as universality

        universality(command)
    from analogue.cli.train_sae import main as train_sae

    train_sae(command)
