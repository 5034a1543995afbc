"""The tutorial's outputs are those of the code beside them."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorial.ipynb"


def outputs(notebook):
    """What each cell of code shows, as text."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown = [output for output in cell.outputs if output.get("name") != "stderr"]
            parts = [output.get("text") or output["data"]["text/plain"] for output in shown]
            yield cell.source, "".join(parts)


def split(text):
    """A text without its numbers, and its numbers."""
    number = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
    return re.split(r"\s+", re.sub(number, "#", text)), [float(each) for each in re.findall(number, text)]


def test_the_outputs_are_those_of_the_code(tmp_path):
    kept = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(fresh, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    n_numbers = 0
    for (source, before), (_, now) in zip(outputs(kept), outputs(fresh), strict=True):
        words, numbers = split(before)
        assert words == split(now)[0], source
        assert numbers == pytest.approx(split(now)[1], abs=2e-3), source
        n_numbers += len(numbers)
    assert n_numbers > 60


def test_the_notebook_says_the_numbers_of_its_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = " ".join(text for _, text in outputs(notebook))
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "227 are left" in prose
    assert re.search(r"\b227\b", shown)
    assert "unrelated spaces score 0.59" in prose
    assert re.search(r"\b0\.59\d*\b", shown)
