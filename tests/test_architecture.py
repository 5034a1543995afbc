"""Who may import whom, and who may not know what; docs/architecture.md draws it."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from analogue.cli.composition import keys_of
from analogue.cli.conf import COMPARE, TRAIN_SAE, UNIVERSALITY

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "src" / "analogue"
AT_THE_TOP = {  # what a plain module may import of the package
    "__init__": {
        "comparison",
        "errors",
        "saes",
        "settings",
        "training",
        "universality",
    },  # the public door, when it is asked
    "__main__": {"cli"},
    "atomic": set(),
    "compiled": set(),
    "cores": set(),
    "entries": {"atomic"},
    "errors": {"memory"},
    "hub": {"errors"},
    "memory": set(),
    "options": set(),
    "quiet": set(),
    "settings": {"errors", "options"},
    "trainer": {"cores", "errors", "quiet"},
}
FOR_EVERY_ROOM = {
    "atomic",
    "compiled",
    "cores",
    "entries",
    "errors",
    "hub",
    "memory",
    "options",
    "quiet",
    "__version__",
}
ROOMS = {  # what a room may import of the package, besides itself and FOR_EVERY_ROOM, in the order in which data passes
    "embedded": set(),
    "corpus": {"embedded"},
    "models": {"embedded"},
    "saes": {"embedded"},
    "features": set(),
    "matching": {"features"},
    "similarity": set(),
    "significance": {"similarity", "matching", "features"},
    "transfer": {"features", "matching", "significance"},
    "concepts": {"features", "matching", "similarity", "significance"},
    "results": {"significance"},
    "reporting": {"results"},
}
CONDUCTORS = {
    "comparison": {"settings", "trainer", *ROOMS} - {"embedded"},
    "universality": {"comparison", "settings", "trainer", *ROOMS} - {"embedded", "concepts", "reporting"},
    "training": {"corpus", "features", "models", "saes", "settings", "trainer"},
}
SHELL = {
    "cli": {"settings", "trainer", "features", "models", "saes", "similarity", "results", "reporting", *CONDUCTORS}
}
MAY_IMPORT = ROOMS | CONDUCTORS | SHELL

MATHEMATICS = {"similarity", "significance", "matching", "transfer", "concepts"}
OF_UNIVERSALITY = {"among_spaces", "changes", "clusters", "features", "links", "spectrum", "stability"}
LIBRARIES_OF_MATHEMATICS = {"jaxtyping", "numba", "numpy", "scipy", "threadpoolctl", "torch"}
FILES_AND_PROCESSES = {"io", "os", "pathlib", "shutil", "subprocess", "tempfile"}
WRITING = {"open", "save", "savez", "tofile", "write", "write_bytes", "write_text"}
KNOWN_TO = {  # libraries that are not everybody's business, and whose they are
    "datasets": {"corpus"},
    "hydra": {"cli"},
    "lightning": {"corpus", "comparison", "training", "universality", "reporting", "trainer", "cli"},
    "matplotlib": {"reporting"},
    "omegaconf": {"cli"},
    "plotly": {"reporting"},
    "sae_lens": {"saes", "training"},
    "scipy": MATHEMATICS | {"features", "universality"},
    "numba": {"compiled"},
    "transformers": {"corpus", "models"},
    "umap": {"reporting"},
    "wandb": {"reporting", "training"},
}
LIGHT = {"hydra", "omegaconf", "yaml", "antlr4", "packaging"}  # all that --help may load from elsewhere
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """The dotted names of what a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def libraries(path):
    return {name.partition(".")[0] for name in imports(path)} - {"analogue"}


def room(path):
    """The folder of the package in which a file lies; the file's own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def of_rooms(rooms):
    return [path for path in MODULES if room(path) in rooms]


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def strings(path):
    """The string constants of a file that are not docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    owners = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    docstrings = {id(node.body[0].value) for node in owners}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_every_room_has_its_rule():
    assert {room(path) for path in MODULES} == {*AT_THE_TOP, *MAY_IMPORT}


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_rooms_import_only_rooms_below(name):
    for path in of_rooms({name}):
        used = {imported.split(".")[1] for imported in imports(path) if imported.startswith("analogue.")}
        assert used <= MAY_IMPORT[name] | {name} | FOR_EVERY_ROOM, path


@pytest.mark.parametrize("name", sorted(AT_THE_TOP))
def test_plain_modules_import_no_room(name):
    used = {imported.split(".")[1] for imported in imports(PACKAGE / f"{name}.py") if imported.startswith("analogue.")}
    assert used <= AT_THE_TOP[name]


def test_what_is_private_to_a_room_stays_there():
    for path in MODULES:
        for imported in imports(path):
            parts = imported.split(".")
            private = [part for part in parts[1:] if part.startswith("_") and not part.startswith("__")]
            assert not private or parts[:2] == ["analogue", room(path)], f"{path}: {imported}"


def test_nobody_imports_entry_points_tests_or_benchmarks():
    for path in MODULES:
        assert not libraries(path) & {"compare", "train_sae", "universality", "tests", "benchmarks"}, path


def test_mathematics_knows_numbers_only():
    pure = [PACKAGE / "universality" / f"{name}.py" for name in OF_UNIVERSALITY]
    for path in [*of_rooms(MATHEMATICS), *pure]:
        used = libraries(path)
        tables = {"pandas"} if path.parent.name == "universality" else set()
        assert used - sys.stdlib_module_names <= LIBRARIES_OF_MATHEMATICS | tables, path
        assert not used & FILES_AND_PROCESSES, path
        assert not set(calls(path)) & WRITING, path


@pytest.mark.parametrize("library", sorted(KNOWN_TO))
def test_a_library_is_known_where_it_belongs(library):
    assert {room(path) for path in MODULES if library in libraries(path)} <= KNOWN_TO[library]


def test_only_the_shell_knows_configuration_keys():
    """Below it, no key stands in a string, such as `data.path`, unless an argument of the library has that name."""
    keys = {key for program in (COMPARE, TRAIN_SAE, UNIVERSALITY) for key in keys_of(program.schema) if "." in key}
    arguments = {
        "cache.dir",
        "evaluation.every_steps",
        "filters.one_to_one",
        "filters.maximum_q_value",
        "matching.rule",
        "optimiser.function",
        "optimiser.learning_rate",
        "transfer.fit_sequences",
        "transfer.path",
    }
    spelled = re.compile("|".join(rf"(?<![\\w.]){re.escape(key)}(?![\\w.])" for key in sorted(keys - arguments)))
    for path in MODULES:
        if room(path) != "cli":
            found = [text for text in strings(path) if spelled.search(text)]
            assert not found, path


def test_nobody_pickles_or_trusts_remote_code():
    for path in MODULES:
        text = path.read_text()
        assert not libraries(path) & {"pickle", "dill", "cloudpickle", "joblib"}, path
        assert "trust_remote_code=True" not in text, path
        assert "weights_only=False" not in text, path


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in MODULES if path.stem in drawers or path.parent.name in drawers]


def test_no_imports_run_in_a_circle():
    """Not even those within functions, or for type checkers alone."""
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    imported = {}
    for name, path in names.items():
        found = {each if each in names else each.rpartition(".")[0] for each in imports(path)}
        imported[name] = {each for each in found if each in names and not name.startswith(f"{each}.")} - {name}
    for name in imported:
        imported[name] -= {each for each in imported[name] if each.startswith(f"{name}.")}  # a room's own files
    TopologicalSorter({name: of for name, of in imported.items() if name != "analogue"}).prepare()


@pytest.mark.parametrize(
    "program", ["import analogue", *(f"{name}.py" for name in ("compare", "train_sae", "universality"))]
)
def test_nothing_heavy_is_loaded_before_there_is_work(program):
    asks_for_help = f"sys.argv = ['{program}', '--help']; runpy.run_path('{program}', run_name='__main__')"
    told = "print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))"
    code = f"import atexit, runpy, sys; atexit.register(lambda: {told}); "
    code += asks_for_help if program.endswith(".py") else program
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    loaded = set(ended.stdout.splitlines()[-1].split()[1:])
    assert not loaded & (set(KNOWN_TO) - LIGHT | {"numpy", "torch", "pandas", "pyarrow", "rich", "torchmetrics"})
