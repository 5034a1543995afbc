"""Every argument that the library's errors name has its configuration key, and no backtick reaches the terminal."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

import analogue
from analogue import settings
from analogue.cli.composition import keys_of
from analogue.cli.keys import COMPARE_KEYS, naming_keys, with_keys
from analogue.cli.schema import CompareConfig, TrainSAEConfig
from analogue.cli.train_sae import KEYS
from analogue.errors import InvalidArgument, UserError
from analogue.training import settings as training_settings

PACKAGE = Path(analogue.__file__).parent
RAISED = {"InvalidArgument", "NotFound", "Unavailable", "hub_errors", "check_option", "check_kind", "check_between"}
RAISED |= {"check_flag", "check_folder", "check_list", "check_memory", "check_strings", "whole_number"}
KEYS_OF_SCHEMAS = {*keys_of(CompareConfig), *keys_of(TrainSAEConfig)}
FIELDS = {
    field.name
    for room in (settings, training_settings)
    for kind in vars(room).values()
    if dataclasses.is_dataclass(kind)
    for field in dataclasses.fields(kind)
}
"""The shell makes these objects within `section`, which names their keys."""


OF_FUNCTIONS = {  # of functions within the library, or renamed on their way to the shell
    *("k", "regularisation", "relaxation"),  # matching.settings, by pair_features
    *("sample", "how", "engine", "n_slices", "n_threads"),  # of functions that no configuration calls with them
    *("n_top", "n_lower", "apart"),  # of examples, which no configuration changes
    *("spaces", "clustering", "in_order", "names", "sequence_length"),  # of many spaces; the shell checks its own
    "comparison",  # one that was read from files by the library
    *("n_components", "agreement", "weights", "outer", "inner"),  # of metrics, whose names settle them
}


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield getattr(node.func, "id", None) or node.func.attr, node


def names_in(node):
    """The names that an expression may come to, `{label}` filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return names_in(node.body) | names_in(node.orelse)
    if isinstance(node, ast.JoinedStr):
        parts = [each.value if isinstance(each, ast.Constant) else ast.unparse(each.value) for each in node.values]
        if any(part.endswith("label") for part in parts):
            return {"".join(side if part.endswith("label") else part for part in parts) for side in "ab"}
        return {parts[0].rstrip(".")} if isinstance(node.values[0], ast.Constant) else set()
    return set()


def named_by_the_library():
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.parent.name in ("cli", "reporting") or file.name == "errors.py":
            continue
        text = file.read_text()
        for function, call in calls(ast.parse(text)):
            if function in RAISED and call.args:
                names = names_in(call.args[0])
            elif function == "check_minima" and isinstance(call.args[0], ast.Dict):
                names = set().union(*map(names_in, call.args[0].keys))
            else:
                continue
            found |= {name: f"{file.relative_to(PACKAGE)}:{call.lineno}" for name in names}
    return found


def has_a_key(name):
    if name in {*COMPARE_KEYS, *KEYS, *FIELDS, *KEYS_OF_SCHEMAS, *OF_FUNCTIONS}:
        return True
    owner = name.rpartition(".")[0]
    return bool(owner) and has_a_key(owner)


def test_every_argument_that_an_error_names_has_a_key():
    named = named_by_the_library()
    assert len(named) > 40
    assert not {name: place for name, place in named.items() if not has_a_key(name)}


@pytest.mark.parametrize(("keys", "schema"), [(COMPARE_KEYS, CompareConfig), (KEYS, TrainSAEConfig)])
def test_the_tables_name_keys_that_there_are(keys, schema):
    assert {*keys.values()} <= {*keys_of(schema), "trainer.accelerator"}


def test_the_arguments_that_sentences_mention_have_keys():
    """What stands in backticks in a sentence, as `seq_len` does, is an argument of `compare` or of `train`."""
    mentioned = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.parent.name in ("cli", "reporting") or file.name == "errors.py":
            continue
        tree = ast.parse(file.read_text())
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                for name in re.findall(r"`([a-z][\w.]*)`", node.value):
                    mentioned[name] = f"{file.relative_to(PACKAGE)}:{node.lineno}"
    known = {*COMPARE_KEYS, *KEYS, "trainer"}  # the shell never needs to be told of one
    assert not {name: place for name, place in mentioned.items() if name not in known}


def test_a_sentence_of_the_shell_has_no_backticks():
    assert with_keys("x (`a.model`); `n_sequences`=3, `unknown`", COMPARE_KEYS) == (
        "x (model_a.name); data.n_sequences=3, unknown"
    )
    with (
        pytest.raises(UserError, match=r"^data.seq_len=3: see data.path$"),
        naming_keys(COMPARE_KEYS),
    ):
        raise InvalidArgument("seq_len", 3, "see `corpus`")
