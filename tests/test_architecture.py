"""Who may import whom, and who may not know what (see the README's map of the package)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "analogue"
MATHEMATICS = {"similarity", "significance", "matching", "concepts"}
FORBIDDEN_TO_MATHEMATICS = {"lightning", "hydra", "omegaconf", "wandb", "transformers", "sae_lens", "pathlib"}
CONDUCTORS = {"comparison", "training"}
ROOMS_BELOW = {  # what a room may import of the package, besides itself and the plain modules at its top
    "corpus": {"embedded"},
    "models": {"embedded"},
    "saes": {"embedded"},
    "features": set(),
    "matching": {"features"},
    "similarity": set(),
    "significance": {"similarity", "matching", "features"},
    "concepts": {"features", "matching", "similarity", "significance"},
    "reporting": {"significance"},
    "embedded": set(),
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def room(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


@pytest.mark.parametrize("name", sorted(ROOMS_BELOW))
def test_rooms_import_only_rooms_below(name):
    allowed = ROOMS_BELOW[name] | {name, "atomic", "cores", "errors", "hub"}
    for path in modules():
        if room(path) == name:
            used = {module.split(".")[1] for module in imports(path) if module.startswith("analogue.")}
            assert used <= allowed, path.name


def test_mathematics_knows_no_framework_and_no_file():
    for path in modules():
        if room(path) in MATHEMATICS:
            used = {module.split(".")[0] for module in imports(path)}
            assert not used & FORBIDDEN_TO_MATHEMATICS, path


def test_only_conductors_read_the_configuration():
    for path in modules():
        if room(path) in ROOMS_BELOW:
            tree = ast.walk(ast.parse(path.read_text()))
            names = {
                node.value.id for node in tree if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            }
            assert "cfg" not in names, path


def test_nobody_pickles_or_trusts_remote_code():
    for path in modules():
        text = path.read_text()
        assert "pickle" not in set(imports(path)), path
        assert "trust_remote_code=True" not in text, path
        assert "weights_only=False" not in text, path
