"""Which grids are drawn, and how a sweep ends that cannot be summed up."""

from dataclasses import replace
from io import StringIO

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from analogue.reporting.record import write_result
from analogue.reporting.summary import summarise
from analogue.reporting.sweep import SweepSummary
from tests.reporting.samples import sample_pairs, sample_result


def write_jobs(directory, layers, **settings):
    """Comparisons of two SAEs of one model."""
    for number, (layer_a, layer_b) in enumerate(layers):
        result = sample_result(layer_a, layer_b, **settings)
        result = replace(result, side_b=replace(result.side_b, model_fingerprint=result.side_a.model_fingerprint))
        write_result(result, sample_pairs(), directory / f"{settings.get('seed', 0)}{number}")


@pytest.mark.parametrize(("layers", "drawn"), [([(1, 1), (1, 2)], True), ([(1, 1), (2, 2)], True), ([(1, 1)], False)])
def test_a_grid_of_one_models_layers_is_drawn_and_a_seed_study_of_one_is_a_row(tmp_path, layers, drawn):
    write_jobs(tmp_path, layers)
    file = StringIO()
    summary = summarise([tmp_path], tmp_path, Console(file=file, width=100))
    assert bool(summary.figures) is drawn
    assert ("Two SAEs of one model" in file.getvalue()) is not drawn


def callbacks_config(directory, resume=None):
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(directory)}}, "sweep": {"resume": resume}})


def test_a_sweep_to_resume_that_is_not_there_is_told_once_before_the_first_job(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        SweepSummary().on_multirun_start(callbacks_config(tmp_path, resume="nowhere"))
    assert capsys.readouterr().err.startswith("error: sweep.resume=nowhere: is not a folder")


def test_a_summary_that_cannot_be_written_ends_with_code_1_and_a_sentence(tmp_path, capsys):
    write_jobs(tmp_path, [(1, 2)])
    (tmp_path / "report.html").mkdir()
    with pytest.raises(SystemExit, match="1"):
        SweepSummary().on_multirun_end(callbacks_config(tmp_path))
    error = capsys.readouterr().err
    assert error.startswith(f"error: sweep.dir={tmp_path}: cannot take the summary (Is a directory")
    assert error.count("\n") == 1
