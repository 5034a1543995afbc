"""What the documentation says is so: its examples run, and every key stands in it with its default."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from analogue.cli.composition import keys_of
from analogue.cli.schema import CompareConfig, TrainSAEConfig, UniversalityConfig

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "src" / "analogue"
WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings_run(path):
    module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    ran = doctest.testmod(module)
    assert ran.attempted > 0
    assert ran.failed == 0


def test_the_readme_s_python_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    given = {}
    exec(code, given)
    assert [*given["comparison"].scores.metric] == ["svcca", "rsa"]
    assert given["comparison"].pairs.kept.sum() == 227
    assert (tmp_path / "runs" / "1" / "result.json").is_file()


def test_the_path_from_tokens_to_a_p_value_is_there():
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    steps = re.findall(r"^\|.*?\| `(\w+/\w+\.py)`[^|]*\| `([\w.]+)`", text, flags=re.MULTILINE)
    assert 1 < len(steps) <= 8
    for file, name in steps:
        assert re.search(rf"(def|class) {name.partition('.')[0]}\b", (PACKAGE / file).read_text()), file
    for file in re.findall(r"`(\w+/\w+\.py)`", text):
        assert (PACKAGE / file).is_file() or (REPOSITORY / file).is_file(), file


def rows(program):
    """The keys and defaults of a program's table."""
    text = (REPOSITORY / "docs" / "configuration.md").read_text()
    section = text.partition(f"## {program}\n")[2].partition("\n## ")[0]
    for line in re.findall(r"^\| (`.*) \|$", section, flags=re.MULTILINE):
        keys, *_, default = line.split(" | ")
        yield re.findall(r"`([^`]+)`", keys), re.findall(r"`([^`]+)`", default)


def leaves(schema, unfolded=()):
    keys = set(keys_of(schema))
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)} | set(unfolded)


@pytest.mark.parametrize(
    ("program", "schema", "more"),
    [
        ("compare.py", CompareConfig, ["logger.init_timeout"]),
        ("train_sae.py", TrainSAEConfig, ["model.*"]),
        ("universality.py", UniversalityConfig, ["data.*", "alignment.*", "cache.*"]),
    ],
)
def test_every_key_is_documented(program, schema, more):
    documented = {key for keys, _ in rows(program) for key in keys}
    known = {re.sub(r"^(model|sae)_[ab]\.", r"\1_*.", key) for key in leaves(schema, more)}
    folded = tuple(key.removesuffix("*") for key in more if key.endswith("*"))
    assert documented == {key for key in known if not key.startswith(folded) or key in more}


@pytest.mark.parametrize(
    ("name", "program"), [("compare", "compare.py"), ("train_sae", "train_sae.py"), ("universality", "universality.py")]
)
def test_documented_defaults_are_those_of_the_configuration(compose_config, name, program):
    cfg = compose_config(name, "output_dir=null" if name == "train_sae" else "output_dir=out")
    for keys, defaults in rows(program):
        if (
            len(keys) == len(defaults)
            and keys[0] not in ("logger", "output_dir", "sweep.dir")
            and "*" not in keys[0].replace("_*", "")
        ):
            for key, default in zip(keys, defaults, strict=True):
                found = OmegaConf.select(cfg, key.replace("_*", "_a"))
                assert str(_plain(found)) == str(OmegaConf.to_container(OmegaConf.create(f"x: {default}"))["x"]), key


def _plain(value):
    plain = OmegaConf.to_container(OmegaConf.create({"x": value}), enum_to_str=True)["x"]
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain
