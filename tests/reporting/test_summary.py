"""Which grids are drawn."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from analogue.reporting.summary import summarise
from analogue.results.record import write_result
from tests.results.samples import sample_pairs, sample_result


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


def test_a_sweep_that_was_interrupted_and_its_resumption_count_once(tmp_path):
    write_jobs(tmp_path / "interrupted", [(1, 1), (1, 2)])
    write_jobs(tmp_path / "resumed", [(1, 1), (1, 2), (2, 1)])
    file = StringIO()
    summary = summarise([tmp_path], tmp_path / "report", Console(file=file, width=100))
    assert len(summary.grids) == 1
    assert "3 comparisons (2 repeated), 0 failed" in file.getvalue()
