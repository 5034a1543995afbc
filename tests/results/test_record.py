"""A record goes to disk and comes back as it was."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analogue.results import ComparisonResult, read_results, write_result
from tests.results.samples import sample_nulls, sample_pairs, sample_result


def test_a_record_comes_back_as_it_was(tmp_path):
    result = sample_result(score=0.1 + 0.2)
    write_result(result, sample_pairs(), tmp_path / "new" / "job", sample_nulls())
    assert read_results(tmp_path) == [result]
    assert pq.read_table(tmp_path / "new/job/pairs.parquet").equals(sample_pairs())
    assert pq.read_table(tmp_path / "new/job/nulls.parquet").equals(sample_nulls())
    assert not list(tmp_path.rglob("*.tmp"))


def test_another_schema_version_is_refused():
    text = sample_result().to_json().replace('"schema_version": 1', '"schema_version": 99', 1)
    with pytest.raises(ValueError, match="schema_version: expected 1, got 99; a newer version"):
        ComparisonResult.from_json(text)


def test_no_number_that_json_does_not_know_is_written():
    with pytest.raises(ValueError, match="JSON"):
        sample_result(score=float("nan")).to_json()


def test_the_version_stands_first_in_the_file(tmp_path):
    write_result(sample_result(), sample_pairs(), tmp_path)
    assert next(iter(json.loads((tmp_path / "result.json").read_text()))) == "schema_version"


def test_a_write_that_fails_leaves_no_record_to_vouch_for_the_pairs(tmp_path):
    write_result(sample_result(), sample_pairs(), tmp_path, sample_nulls())
    (tmp_path / "nulls.parquet").unlink()
    (tmp_path / "nulls.parquet").mkdir()  # a file cannot take a folder's place
    with pytest.raises(OSError):
        write_result(sample_result(), sample_pairs(), tmp_path, sample_nulls(1))
    assert not (tmp_path / "result.json").exists()
    assert not list(tmp_path.glob(".*"))


def test_records_are_read_in_the_order_of_their_layers(tmp_path):
    for layer_a, layer_b in [(2, 1), (1, 10), (1, 2)]:
        write_result(sample_result(layer_a, layer_b), pa.table({}), tmp_path / f"{layer_a}_{layer_b}")
    assert [(r.side_a.layer, r.side_b.layer) for r in read_results(tmp_path)] == [(1, 2), (1, 10), (2, 1)]
