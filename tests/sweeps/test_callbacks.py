"""How a sweep ends that cannot be summarised, and one that resumes a folder that does not exist."""

import pytest
from omegaconf import OmegaConf

from analogue.cli.sweep import SweepSummary
from analogue.results import write_result
from tests.results.samples import sample_pairs, sample_result


def callbacks_config(directory, resume=None):
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(directory)}}, "sweep": {"resume": resume}})


def test_a_sweep_to_resume_that_is_not_there_is_told_once_before_the_first_job(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        SweepSummary().on_multirun_start(callbacks_config(tmp_path, resume="nowhere"))
    assert capsys.readouterr().err.startswith("error: sweep.resume=nowhere: is not a folder")


def test_a_summary_that_cannot_be_written_ends_with_code_1_and_a_sentence(tmp_path, capsys):
    write_result(sample_result(), sample_pairs(), tmp_path / "0")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(SystemExit, match="1"):
        SweepSummary().on_multirun_end(callbacks_config(tmp_path))
    error = capsys.readouterr().err
    assert error.startswith(f"error: sweep.dir={tmp_path}: cannot take the summary (Is a directory")
    assert error.count("\n") == 1


def test_a_summary_that_crashes_ends_with_code_1_and_a_sentence(tmp_path, capsys):
    write_result(sample_result(), sample_pairs(), tmp_path / "0")
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(SystemExit, match="1"):
        SweepSummary().on_multirun_end(callbacks_config(tmp_path))
    error = capsys.readouterr().err
    assert error.startswith(f"error: sweep.dir={tmp_path}: cannot take the summary (")
    assert error.count("\n") == 1
