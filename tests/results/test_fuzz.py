"""Damaged records: each is read as it was, or left out with a sentence that names it; no report fails."""

import copy
import json
import logging
import random
import shutil
from io import StringIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analogue.comparison.result import Comparison
from analogue.errors import UserError
from analogue.reporting.console import plain_console
from analogue.reporting.summary import summarise
from analogue.results import ComparisonResult, write_result
from analogue.results.jobs import read_failures
from analogue.results.schema import DamagedRecord
from tests.results.samples import sample_nulls, sample_pairs, sample_result

N_MUTATIONS = 500
VALUES = [None, True, -1, 0, 7, 1.5, -0.5, 1e300, 10**30, "", "x", "[/red]", "a/../../x", [], {}, [1], ["a"], {"a": 1}]
RAW = ["NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', "[" * 3000 + "]" * 3000, "{", '"', "nul", ""]


def places(value, path=()):
    """Every place of a record, as the keys that lead there."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def mutated(record, rng):
    """A record with one change: a value replaced, removed, added, renamed, doubled, or its text cut or flipped."""
    record = copy.deepcopy(record)
    *parents, last = rng.choice([path for path in places(record) if path])
    owner = record
    for key in parents:
        owner = owner[key]
    kind = rng.choice(["replace"] * 5 + ["remove", "add", "rename", "raw", "raw", "cut", "flip"])
    if kind == "remove":
        del owner[last]
    elif kind in ("add", "rename") and isinstance(owner, dict):
        owner["a new key"] = owner.pop(last) if kind == "rename" else 1
    elif kind == "raw":
        owner[last] = "HERE"
        return json.dumps(record).replace('"HERE"', rng.choice(RAW))
    elif kind in ("cut", "flip"):
        text = json.dumps(record)
        at = rng.randrange(len(text))
        return text[:at] if kind == "cut" else text[:at] + chr(ord(text[at]) ^ (1 << rng.randrange(7))) + text[at + 1 :]
    else:
        owner[last] = rng.choice(VALUES)
    return json.dumps(record)


def holds(read, was):
    """Whether what was read says all that stood there; a field that did not stand there has its default."""
    if isinstance(was, dict) and isinstance(read, dict):
        return was.keys() <= read.keys() and all(holds(read[key], was[key]) for key in was)
    return read == was and type(read) is type(was)


def full_record():
    """A record with every part that one can have."""
    result = sample_result()
    entry = result.similarity[0]
    concept = {"name": "Weather", "n_features_a": 5, "n_features_b": 6, "n_pairs": 4}
    concept |= {"similarity": [entry, entry | {"null": "random_subset"}]}
    concept |= {"keyword_counts_a": {"rain": 3}, "keyword_counts_b": {"snow": 1}}
    side = {"n_tested": 600, "n_beyond_chance": 400, "n_positional": 3}
    evidence = {"null": "permuted_sequences", "n_null": 19, "n_sequences": 10, "seed": 0, "pooled": True, "q": 0.05}
    evidence |= {"a": side, "b": side, "n_kept": 20, "n_kept_beyond_chance": 18}
    record = json.loads(result.to_json())
    return record | {"concepts": [concept], "evidence": evidence, "decoder_cosine": {"mean": 0.1, "mean_kept": None}}


@pytest.fixture(scope="module")
def mutations():
    rng, record = random.Random(0), full_record()
    return [mutated(record, rng) for _ in range(N_MUTATIONS)]


def test_the_record_that_is_mutated_is_a_good_one():
    record = full_record()
    assert json.loads(ComparisonResult.from_json(json.dumps(record)).to_json()) == record


def test_a_mutated_record_is_read_as_it_stands_or_named_with_its_field(mutations):
    refused = []
    for text in mutations:
        try:
            read = ComparisonResult.from_json(text)
        except DamagedRecord as error:
            refused.append(str(error))
        else:
            assert holds(json.loads(read.to_json()), json.loads(text))
    assert all(each.startswith(("its field ", "it is ", "it holds ")) for each in refused)
    assert all(len(each) < 300 and "\n" not in each for each in refused)
    assert 200 < len(refused) < N_MUTATIONS  # many changes are harmless: another name of a model


def test_no_report_fails_on_mutated_records(mutations, tmp_path, caplog):
    """All at once, beside a good one, whose row must stay."""
    caplog.set_level(logging.WARNING)
    jobs, report = tmp_path / "jobs", tmp_path / "out" / "report"
    write_result(sample_result(), sample_pairs(), jobs / "0", sample_nulls())
    for number in range(1, len(mutations)):
        shutil.copytree(jobs / "0", jobs / str(number))
    for number, text in enumerate(mutations):
        (jobs / f"{number}/result.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    write_result(sample_result(5, 6, created="2030-01-01T00:00:00+00:00"), sample_pairs(), jobs / "good")
    summary = summarise([tmp_path], report, plain_console(file=StringIO()))
    assert any((5, 6) in grid.jobs for grid in summary.grids)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["jobs", "out"]
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["report"]
    assert len(caplog.records) > 150


def table_with(name, values):
    pairs = sample_pairs()
    at = pairs.column_names.index(name)
    return pairs.remove_column(at) if values is None else pairs.set_column(at, name, pa.array(values))


N = len(sample_pairs())
BAD_PAIRS = {
    "no column correlation": table_with("correlation", None),
    "column correlation is of string": table_with("correlation", ["x"] * N),
    "column feature_a has 40 gaps": table_with("feature_a", pa.nulls(N, pa.int64())),
    "column n_active_b holds a number below 0": table_with("n_active_b", [-1] * N),
    "column kept is of": table_with("kept", [[True]] * N),
    "column top_tokens_a is of int64": table_with("top_tokens_a", np.arange(N)),
    "column context_a is of int64": table_with("context_a", np.arange(N)),
}


def test_damaged_tables_are_named_with_their_columns_and_no_report_fails(tmp_path):
    told = {f"pairs.parquet: its? .*{column}": {"pairs": table} for column, table in BAD_PAIRS.items()}
    told[r"nulls\.parquet: its column svcca is of string"] = {"nulls": pa.table({"svcca": ["a", "b"]})}
    for number, damaged in enumerate(told.values()):
        write_result(sample_result(layer_a=number), sample_pairs(), tmp_path / str(number), sample_nulls())
        for name, table in damaged.items():
            pq.write_table(table, tmp_path / f"{number}/{name}.parquet")
    summary = summarise([tmp_path], tmp_path / "report", plain_console(file=StringIO()))
    assert sum(len(grid.jobs) for grid in summary.grids) == len(told)
    for number, message in enumerate(told):
        with pytest.raises(UserError, match=message):
            Comparison.load(tmp_path / str(number))


def test_a_damaged_failure_is_a_failure_all_the_same(tmp_path):
    texts = ["[]", "{}", '{"error": 7, "config": {}}', '{"error": null}', "[" * 5000, "\ud800"]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).mkdir()
        (tmp_path / f"{number}/failure.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    failures = read_failures([tmp_path])
    assert len(failures) == len(texts)
    assert all(each.error.startswith("failure.json is not readable") for each in failures.values())
    summarise([tmp_path], tmp_path, plain_console(file=StringIO()))
