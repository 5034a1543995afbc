"""What a type checker sees of the public door."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parent.parent / "src"
PROGRAM = """
import analogue
from analogue.transfer import ridge_map
from analogue.universality import cluster_features

a = analogue.Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}")
found = analogue.compare(a, a, null=analogue.Null(n=10))
if found is not None:
    kept: int = found.record.n_kept
carried: analogue.Comparison | None = analogue.transfer(a, a, "maps")
many: analogue.Universality | None = analogue.universality([a, a])
trained: list[analogue.TrainedSAE] = analogue.train("embedded:stories-6", [3])
"""


WRONG = {
    "analogue.compair(a, a)": 'has no attribute "compair"',
    "analogue.Side(model='m', layer='three', sae='s')": "incompatible type",
    "analogue.compare(a, a, sed=1)": 'keyword argument "sed"',
}


def test_a_strict_program_is_accepted_and_what_is_wrong_in_it_is_named(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + "\n".join(WRONG) + "\n")
    options = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", f"--cache-dir={tmp_path / 'cache'}"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(program)],
        env={"MYPYPATH": str(SOURCE), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    errors = dict(re.findall(r"program\.py:(\d+): error: (.*)", ran.stdout))
    first = len(PROGRAM.splitlines()) + 1
    assert [*map(int, errors)] == [*range(first, first + len(WRONG))], ran.stdout  # none in the program itself
    for error, expected in zip(errors.values(), WRONG.values(), strict=True):
        assert expected in error
