"""What a type checker sees of the public door."""

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


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", ""),
        ("analogue.compair(a, a)", 'has no attribute "compair"'),
        ("analogue.Side(model='m', layer='three', sae='s')", "incompatible type"),
        ("analogue.compare(a, a, sed=1)", 'keyword argument "sed"'),
    ],
)
def test_a_strict_program(tmp_path, line, error):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + line + "\n")
    options = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", f"--cache-dir={tmp_path / 'cache'}"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(program)],
        env={"MYPYPATH": str(SOURCE), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ran.returncode == 0) is (error == ""), ran.stdout
    assert error in ran.stdout
