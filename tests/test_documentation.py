"""What the documentation says is so: its examples and commands work, and every key stands in it."""

import dataclasses
import doctest
import importlib
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import analogue
from analogue.cli.composition import keys_of, listed_values, typed
from analogue.cli.conf import COMPARE, TRAIN_SAE, UNIVERSALITY
from analogue.cli.run import quoted_values
from analogue.cli.schema import CompareConfig, TrainSAEConfig, UniversalityConfig
from analogue.results.grids import LayerGrid
from analogue.results.jobs import Job
from analogue.results.results_table import results_table
from analogue.settings import STORIES, Clustering, Corpus, Null, Side

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


def documented_keys(program):
    """The keys of a program's table."""
    text = (REPOSITORY / "docs" / "configuration.md").read_text()
    section = text.partition(f"## {program}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \| .* \|$", section, flags=re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def leaves(schema, unfolded=()):
    keys = set(keys_of(schema))
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)} | set(unfolded)


@pytest.mark.parametrize(
    ("program", "schema", "more"),
    [
        ("analogue compare", CompareConfig, ["logger.init_timeout"]),
        ("analogue train-sae", TrainSAEConfig, ["model.*"]),
        ("analogue universality", UniversalityConfig, ["data.*", "alignment.*", "cache.*"]),
    ],
)
def test_every_key_is_documented(program, schema, more):
    known = {re.sub(r"^(model|sae)_[ab]\.", r"\1_*.", key) for key in leaves(schema, more)}
    folded = tuple(key.removesuffix("*") for key in more if key.endswith("*"))
    assert documented_keys(program) == {key for key in known if not key.startswith(folded) or key in more}


PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")), PACKAGE / "embedded/README.md"]
PROGRAMS = {"compare": COMPARE, "train_sae": TRAIN_SAE, "universality": UNIVERSALITY}


def commands(page):
    """The command lines of the three programs in a page's code, inline and in blocks: program and arguments."""
    text = page.read_text()
    fence = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fence.findall(text) if language in ("", "bash")]
    rest = fence.sub("", text)
    inline = [" ".join(code.split()) for code in re.findall(r"`((?:analogue|python)\s\S+\s[^`]*)`", rest)]
    indented = re.findall(r"^    ((?:analogue|python) .*)$", rest, flags=re.MULTILINE)
    for block in [*blocks, *inline, *indented]:
        for line in re.split(r"\n|&&", block.replace("\\\n", " ")):
            words = shlex.split(line, comments=True)
            if (words[:1] == ["python"] and words[1].endswith(".py")) or (
                words[:1] == ["analogue"] and "-" not in words[1][:1]
            ):
                name = words[1].removesuffix(".py").replace("-", "_")
                if name in PROGRAMS:
                    yield name, [word for word in words[2:] if word not in ("-m", "...")]


def with_commands():
    return [page for page in PAGES if any(commands(page))]


@pytest.mark.parametrize("page", with_commands(), ids=lambda page: page.stem)
def test_commands_name_keys_and_options_that_are_there(page):
    for name, arguments in commands(page):
        if any(argument.startswith("--") for argument in arguments):
            continue
        program = PROGRAMS[name]
        chosen = [first_of(argument) for argument in listed_values(quoted_values(arguments), program.schema)]
        places = [argument for argument in chosen if not argument.startswith(("logger", "output_dir"))]
        assert program.compose(*chosen, with_hydra=True)
        assert typed(program.compose(*places, "logger=none", "output_dir=out"), program.schema)


def first_of(argument):
    """An argument that sweeps over values, with the first of them."""
    override = OverridesParser.create().parse_override(argument)
    if not override.is_sweep_override():
        return argument
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def test_every_link_leads_somewhere():
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s#]+)", text):
            assert re.match(r"https?:", target) or (page.parent / target).exists(), (page.name, target)


def columns_of(heading):
    """The columns that docs/files.md describes under a heading, and that stand in backticks in the first cell."""
    section = (REPOSITORY / "docs" / "files.md").read_text().partition(f"### {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_files_and_their_columns_are_those_that_are_described(compare, tmp_path):
    record = compare("null.kinds=[shuffle,permuted_sequences,rotated]", "concepts=paper", "concepts.n=2")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    assert sorted(pairs.column_names) == sorted(columns_of("pairs.parquet"))
    fields = [each.name for each in dataclasses.fields(record)]
    assert sorted(fields) == sorted(columns_of("result.json"))
    grid = LayerGrid({(record.side_a.layer, record.side_b.layer): Job("0", tmp_path / "run", record)}, "")
    assert sorted(results_table([grid]).column_names) == sorted(columns_of("results.csv, results.parquet"))


def test_tables_of_many_spaces_are_those_that_are_described():
    spaces = [Side("embedded:stories-6", layer, "embedded:stories-6-saes/layer_{layer}") for layer in (2, 3)]
    text = Corpus(STORIES.path, packing=True, n_sequences=12, seq_len=64)
    few = Clustering(n_draws=5, n_resamples=2, n_null=0)
    found = analogue.universality(spaces, corpus=text, clustering=few, null=Null(n=3), metrics=["rsa"], progress=False)
    assert {*found.tables} == {"clusters.parquet", "features.parquet", "spaces.parquet"}
    for name, table in found.tables.items():
        assert sorted(table.column_names) == sorted(columns_of(name)), name
