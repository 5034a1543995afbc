"""The feature explorer of a finished comparison: analogue explore outputs/..."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from analogue.cli.compare import light_arguments
from analogue.cli.composition import typed
from analogue.cli.conf import COMPARE
from analogue.cli.keys import COMPARE_KEYS, naming_keys
from analogue.cli.schema import CompareConfig
from analogue.errors import UserError, first_line
from analogue.results.record import EXPLORER_FILE, RESULT_FILE

if TYPE_CHECKING:
    from analogue.comparison.explorer import ComparisonInputs

# The settings of a record that decide what the explorer shows. Records of the library keep others in other forms.
SHOWN = ("data", "alignment", "filters", "concepts", "cache")
NAMED = (("model_a", "name"), ("model_b", "name"), ("sae_a", "path"), ("sae_b", "path"), ("data", "path"))
SIDES = tuple(f"{name}_{side}" for name in ("model", "sae", "layer") for side in "ab")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the explorer of the comparison in the folder that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="analogue explore", description=__doc__)
    parser.add_argument("directory", type=Path, help="folder of a job: with result.json and pairs.parquet")
    parser.add_argument("--output", type=Path, help="the page; the default is explorer.html in the job's folder")
    arguments = parser.parse_args(argv)
    try:
        written = explore_directory(arguments.directory, arguments.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"written to {written}")
    return 0


def explore_directory(directory: Path, output: Path | None = None) -> Path:
    """Write the explorer of a job; returns where it is.

    What was compared is opened again by the settings of the record, and the activations are read from the cache that it
    names; those that are not there any more are computed.

    Raises:
        UserError: there is no job in the directory, or what was compared cannot be opened or is not what it was.
    """
    from analogue.comparison.explorer import explore
    from analogue.comparison.result import Comparison
    from analogue.quiet import quiet_libraries

    output = output or directory / EXPLORER_FILE
    with naming_keys({**COMPARE_KEYS, "directory": "directory", "path": "--output", "explore": "explore"}):
        comparison = Comparison.load(directory)
        with quiet_libraries():
            explore(comparison.record, comparison.pairs_table, inputs_of(comparison.record.config), output)
    return output


def inputs_of(recorded: dict[str, Any]) -> "ComparisonInputs":
    """What a comparison was made from, by the settings that its record keeps.

    Raises:
        UserError: settings of another version, or a model, an SAE or texts that were given as objects.
    """
    from analogue.comparison.explorer import ComparisonInputs

    known = {name: recorded[name] for name in (*SHOWN, *SIDES) if name in recorded}
    for section, key in NAMED:
        given = str(known.get(section, {}).get(key))
        if given.startswith("<"):
            fix = "call comparison.explore before the session ends, or compare what lies in a file"
            raise UserError(f"{section}.{key}", given, f"was an object in memory and cannot be opened again; {fix}")
    try:
        defaults = COMPARE.compose("output_dir=.", "logger=none", "sweep.dir=.")
        OmegaConf.set_struct(defaults, False)  # concepts have names of their own
        defaults.merge_with(known)
        config = typed(defaults, CompareConfig)
    except OmegaConfBaseException as error:
        problem = f"holds settings that this version does not know ({first_line(error)}); make the comparison again"
        raise UserError("directory", RESULT_FILE, problem) from error
    arguments = light_arguments(config)
    trainer = recorded.get("trainer") or {}
    return ComparisonInputs(
        a=arguments["a"],
        b=arguments["b"],
        corpus=arguments["corpus"],
        alignment=arguments["alignment"],
        aggregation=arguments["aggregation"],
        top_tokens=arguments["filters"].top_tokens,
        concepts=arguments["concepts"],
        cache=arguments["cache"],
        device="cpu" if trainer.get("accelerator") == "cpu" else "auto",
        precision=str(trainer.get("precision", "32-true")),
    )
