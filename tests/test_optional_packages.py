"""A package that an extra brings, and that is missing, is named in one sentence together with the extra."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from analogue.cli.composition import composition_error
from analogue.cli.conf import COMPARE
from analogue.errors import Unavailable, UserError
from analogue.models import open_model
from analogue.reporting import tracking

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def without(monkeypatch, package):
    """Let Python find no such package, nor what is in it; some may be imported already."""
    for name in [package, *(each for each in sys.modules if each.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)


def test_gguf(monkeypatch):
    without(monkeypatch, "gguf")
    with pytest.raises(UserError, match=r"^gguf_file=model.gguf: .*pip install 'analogue\[gguf\]'"):
        open_model("embedded:stories-6", gguf_file="model.gguf")


def test_wandb_costs_a_line_and_nothing_else(monkeypatch, capsys, tmp_path):
    without(monkeypatch, "wandb")
    tracking.log_or_warn(lambda: tracking.wandb_logger("analogue", str(tmp_path)), lambda logger: None)
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "logger=wandb: needs the package wandb; install it (pip install 'analogue[wandb]')" in message
    with pytest.raises(Unavailable):
        tracking.wandb_logger("analogue", str(tmp_path))


def test_umap_is_asked_for_before_anything_is_computed(tmp_path):
    program = "import sys; sys.modules['umap'] = None; from analogue.cli.compare import main; main()"
    command = [sys.executable, "-c", program, "explore=true", "hydra.run.dir=out"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "error: explore=true: needs the package umap-learn" in ended.stderr
    assert "pip install 'analogue[explore]'" in ended.stderr


@pytest.mark.parametrize(
    ("name", "package", "advice"),
    [
        ("joblib", "joblib", "pip install 'analogue[launchers]'"),
        ("submitit_local", "submitit", "pip install 'analogue[launchers]'"),
        ("slurm", "submitit", "pip install 'analogue[launchers]'"),
        ("ray", "ray", "pip install --no-deps hydra-ray-launcher"),
    ],
)
def test_launchers(monkeypatch, name, package, advice):
    without(monkeypatch, "hydra_plugins")
    missing = MissingConfigException(f"Could not find 'hydra/launcher/{name}'", name)
    sentence = composition_error(missing, COMPARE, [f"hydra/launcher={name}"])
    assert sentence.startswith(f"hydra/launcher={name}: needs the package hydra-{package}-launcher; install it (")
    assert advice in sentence


def test_a_launcher_that_is_missing_for_real():
    if find_spec("hydra_plugins.hydra_ray_launcher") is not None:
        pytest.skip("hydra-ray-launcher is installed")
    with pytest.raises(MissingConfigException) as error:
        COMPARE.compose("hydra/launcher=ray", with_hydra=True)
    assert "needs the package hydra-ray-launcher" in composition_error(error.value, COMPARE, ["hydra/launcher=ray"])


def test_the_extras_are_those_that_messages_name():
    extras = PROJECT["optional-dependencies"]
    assert {*extras} == {"dev", "docs", "explore", "gguf", "launchers", "wandb"}
    assert not [name for name in PROJECT["dependencies"] if name.startswith(("wandb", "umap", "gguf"))]
    (everything,) = [name for name in extras["dev"] if name.startswith("analogue[")]
    assert {*everything.removeprefix("analogue[").removesuffix("]").split(",")} == {*extras} - {"dev"}


def test_every_dependency_is_imported_and_has_its_line():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    imports = {"hydra-core": "hydra", "sae-lens": "sae_lens"}
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for requirement in PROJECT["dependencies"]:
        name = re.match(r"[\w-]+", requirement)[0]
        assert re.search(rf"^\| .*`{name}`", page, flags=re.MULTILINE), name
        module = imports.get(name, name)
        assert re.search(rf"^\s*(?:import|from) {module}\b", code, flags=re.MULTILINE), name
