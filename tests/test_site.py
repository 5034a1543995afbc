"""The site: its tables of keys say what the programs do, and it builds without a warning."""

import importlib.util
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from analogue.cli.composition import typed
from analogue.errors import UserError

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def keys():
    """The module that makes the tables."""
    spec = importlib.util.spec_from_file_location("keys", REPOSITORY / "docs" / "hooks" / "keys.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables(keys):
    """The page with its tables: each program's rows by their keys."""
    page = keys.with_tables((REPOSITORY / "docs" / "configuration.md").read_text())
    sections = re.split(r"^## (analogue [\w-]+)$", page, flags=re.MULTILINE)[1:]
    found = {}
    for program, section in zip(sections[::2], sections[1::2], strict=True):
        rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
        found[program] = [[cell.split("<br>") for cell in re.split(r" ?\| ?", " | ".join(row))] for row in rows]
    return found


def single(rows):
    """Key, type, default and range of every key, without its backticks."""
    for names, _, *columns in rows:
        padded = [column if len(column) == len(names) else [""] * len(names) for column in columns]
        padded += [[""] * len(names)] * (3 - len(padded))
        for name, kind, default, limits in zip(names, *padded, strict=True):
            yield name.strip("`"), kind, default.strip("`"), limits


def test_defaults_are_those_of_the_configuration(keys, tables):
    n_compared = 0
    for program, rows in tables.items():
        cfg = keys.PROGRAMS[program].program.compose("output_dir=out")
        for key, kind, default, _ in single(rows):
            if kind.startswith(("whole", "number", "true")):
                written = OmegaConf.create(f"x: {default}").x
                assert written == OmegaConf.select(cfg, key.replace("_*", "_a")), (program, key)
                n_compared += 1
    assert n_compared > 60


def takes(described, config):
    """Whether a program takes these settings, apart from a run shorter than a batch."""
    try:
        described.check(config)
    except UserError as error:
        return "one batch" in str(error)
    return True


def test_ranges_are_what_the_programs_refuse_and_take(keys, tables):
    n_compared = 0
    for program, rows in tables.items():
        described = keys.PROGRAMS[program]
        cfg = described.program.compose("output_dir=out", "logger=none")
        for key, kind, _, limits in single(rows):
            found = re.match(r"(?:at least |between )(-?\d+)", limits)
            if not found or kind.startswith("list"):
                continue
            lowest = int(found[1])
            for value, is_taken in ((lowest, True), (lowest - 1, False)):
                config = deepcopy(typed(cfg, described.program.schema))
                owner, _, name = key.replace("_*", "_a").rpartition(".")
                section = config
                for part in filter(None, owner.split(".")):
                    section = getattr(section, part)
                setattr(section, name, value)
                assert takes(described, config) is is_taken, (program, key, value)
            n_compared += 1
    assert n_compared > 25


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "tutorial.html", "configuration.html", "api/analogue.html"} <= pages.keys()
    assert "best_partners" in pages["api/matching.html"]
    for name, page in pages.items():
        fetched = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(https?://[^\"]*)", page)
        assert not [url for url in fetched if "canonical" not in url], name
