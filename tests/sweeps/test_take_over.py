"""Which jobs a sweep takes over, and what it finds in their folders."""

import os

import pytest

from analogue.cli.resume import take_over
from analogue.errors import UserError
from analogue.results import read_results, write_result
from analogue.results.jobs import Failure, read_failures, write_failure
from tests.results.samples import sample_nulls, sample_pairs, sample_result


def write(directory, **settings):
    result = sample_result(**settings)
    write_result(result, sample_pairs(), directory, sample_nulls())
    return result


def test_a_finished_job_is_left_as_it_is(tmp_path):
    result = write(tmp_path / "0")
    assert take_over(result.config | {"output_dir": "elsewhere"}, tmp_path / "0", None)
    assert read_results(tmp_path) == [result]


def test_a_job_is_found_by_what_it_asks_for_whatever_its_number(tmp_path):
    for number, layer in enumerate((1, 2, 3)):
        write(tmp_path / "old" / str(number), layer_a=layer)
    os.utime(tmp_path / "old" / "2" / "result.json", (1000, 1000))
    assert take_over(sample_result(3).config, tmp_path / "new" / "0", str(tmp_path / "old"))
    for name in ("result.json", "pairs.parquet", "nulls.parquet"):
        assert (tmp_path / "new/0" / name).read_bytes() == (tmp_path / "old/2" / name).read_bytes()
    assert (tmp_path / "new" / "0" / "result.json").stat().st_mtime == 1000  # so that it counts as cached


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"null": {"n": 20}}, {"layer_b": 7}, {"filters": {"shared_token": False}}]
)
def test_a_job_that_asks_for_something_else_is_not_finished(tmp_path, change):
    result = write(tmp_path / "old" / "0", seed=0)
    assert not take_over(result.config | change, tmp_path / "new" / "0", str(tmp_path / "old"))


def test_what_an_earlier_job_left_is_removed_before_the_folder_is_used(tmp_path):
    write(tmp_path / "0", seed=0)
    write_failure(Failure("it failed", {}), "Traceback", tmp_path / "0")
    assert not take_over(sample_result(seed=1).config, tmp_path / "0", None)
    assert not list((tmp_path / "0").iterdir())


def test_a_record_without_its_pairs_is_not_complete(tmp_path):
    result = write(tmp_path / "old" / "0")
    (tmp_path / "old" / "0" / "pairs.parquet").unlink()
    assert not take_over(result.config, tmp_path / "new" / "0", str(tmp_path / "old"))


def test_a_record_that_was_overwritten_meanwhile_is_not_taken(tmp_path):
    old = [write(tmp_path / "sweep" / str(number), layer_a=number) for number in (0, 1)]
    assert take_over(old[0].config, tmp_path / "new" / "0", str(tmp_path / "sweep"))  # the folder has been read
    write(tmp_path / "sweep" / "1", layer_a=5)
    assert not take_over(old[1].config, tmp_path / "new" / "1", str(tmp_path / "sweep"))


def test_there_must_be_a_folder_to_resume(tmp_path):
    with pytest.raises(UserError, match=r"^sweep.resume=.*nowhere: is not a folder"):
        take_over({}, tmp_path / "0", str(tmp_path / "nowhere"))


def test_a_failure_comes_back_as_it_was(tmp_path):
    failure = Failure("layer_a=9: there is no such block", {"layer_a": 9})
    write_failure(failure, "Traceback ...", tmp_path / "7")
    assert read_failures([tmp_path]) == {"7": failure}
