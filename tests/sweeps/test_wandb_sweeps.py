"""W&B's sweep definitions, by the command lines that its agent builds from them."""

import itertools
import subprocess
import sys

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

from analogue.results import read_results
from tests.processes import REPOSITORY, run
from tests.sweeps.commands import QUIET, SMALL

DEFINITIONS = sorted((REPOSITORY / "sweeps").glob("*.yaml"))


def ends(parameter):
    """Both ends of what a parameter may be."""
    if "value" in parameter:
        return [parameter["value"]]
    return (
        [parameter["values"][0], parameter["values"][-1]]
        if "values" in parameter
        else [parameter["min"], parameter["max"]]
    )


def agent_command(definition, values):
    """What `wandb agent` would run for these values."""
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    macros = {"${env}": [], "${interpreter}": [sys.executable], "${program}": [str(REPOSITORY / definition["program"])]}
    macros["${args_no_hyphens}"] = given["args_no_hyphens"]
    return list(itertools.chain.from_iterable(macros[part] for part in create_sweep_command(definition["command"])))


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("end", [0, -1])
def test_what_an_agent_asks_for_composes(path, end):
    definition = load_sweep_config(str(path))
    values = {name: ends(parameter)[end] for name, parameter in definition["parameters"].items()}
    command = [*agent_command(definition, values), "--cfg", "job"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    for name, value in values.items():
        if isinstance(value, int | float) and "." not in name:
            assert f"{name}: {value}" in ended.stdout


def test_a_job_of_the_layer_sweep_runs(tmp_path, activation_cache):
    definition = load_sweep_config(str(REPOSITORY / "sweeps" / "layers.yaml"))
    command = agent_command(definition, {"layer_a": 1, "layer_b": 4})
    run(*command[1:], *SMALL, *QUIET, f"cache.dir={activation_cache}", cwd=tmp_path)
    (result,) = read_results(tmp_path)
    assert (result.side_a.layer, result.side_b.layer) == (1, 4)
