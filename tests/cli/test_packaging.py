"""What travels in the wheel is what lies in the folders."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_folder_with_code_is_a_package_of_the_wheel():
    source = ROOT / "src"
    folders = {file.parent.relative_to(source) for file in source.rglob("*.py")}
    assert sorted([*(".".join(folder.parts) for folder in folders), "analogue.conf", "analogue.docs"]) == sorted(
        SETUP["packages"]
    )


def test_every_file_beside_the_code_travels():
    patterns = SETUP["package-data"]
    places = {name: ROOT / "src" / Path(*name.split(".")) for name in SETUP["packages"]} | {
        "analogue.conf": ROOT / "conf",
        "analogue.docs": ROOT / "docs",
    }
    travels = {file for name, globs in patterns.items() for glob in globs for file in places[name].glob(glob)}
    others = (*(ROOT / "src/analogue").rglob("*"), *(ROOT / "conf").rglob("*"))
    files = {file for file in others if file.is_file() and file.suffix != ".py" and file.parent.name != "__pycache__"}
    assert sorted(str(file.relative_to(ROOT)) for file in files - travels) == []
