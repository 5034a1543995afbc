"""Run the tutorial, and keep its outputs: python -m benchmarks.tutorial."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tutorial.ipynb"


def main() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    began = time.perf_counter()
    with TemporaryDirectory() as directory:
        resources = {"metadata": {"path": directory}}
        NotebookClient(notebook, timeout=1200, resources=resources, record_timing=False).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.name}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
