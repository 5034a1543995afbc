"""Heatmaps, drawn for real and looked at by their pixels."""

from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np

from analogue.reporting.heatmap import draw_grid, save_heatmaps
from analogue.reporting.panels import Panel, metric_panels, panel_groups
from analogue.results.grids import layer_grids
from analogue.results.jobs import Job
from tests.results.samples import sample_result, sample_transfer


def grid(*results):
    jobs = [Job(str(number), Path(), result) for number, result in enumerate(results)]
    return layer_grids(jobs)[0]


def colours(path):
    return {
        tuple(pixel)
        for pixel in np.unique((matplotlib.image.imread(path)[..., :3] * 255).round().reshape(-1, 3), axis=0)
    }


def test_the_ends_of_the_scale_the_gap_and_the_text_are_in_the_picture(tmp_path):
    small = grid(sample_result(1, 1), sample_result(2, 2))
    values = np.array([[0.0, np.nan], [np.nan, 1.0]])
    save_heatmaps(small, [Panel("scores", values, 2, (0.0, 1.0))], tmp_path / "figure")
    seen = colours(tmp_path / "figure.png")
    assert {(68, 1, 84), (253, 231, 36)} <= seen  # viridis, both ends
    assert (217, 217, 217) in seen  # no number, no colour
    assert {(255, 255, 255), (0, 0, 0)} <= seen
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_equal_sweeps_give_equal_files(tmp_path):
    for name in ("one", "two"):
        cells = grid(sample_result(1, 1), sample_result(1, 2, p_value=0.3), sample_result(2, 1, score=None))
        save_heatmaps(cells, metric_panels(cells, "svcca"), tmp_path / name)
    for kind in ("png", "pdf"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_a_grid_without_any_score_is_drawn_too(tmp_path):
    cells = grid(sample_result(1, 1, score=None), sample_result(1, 2, score=None))
    save_heatmaps(cells, metric_panels(cells, "svcca"), tmp_path / "empty")
    picture = (matplotlib.image.imread(tmp_path / "empty.png")[..., :3] * 255).round()
    assert (picture == 217).all(axis=-1).mean() > 0.1  # all cells are grey
    seen = colours(tmp_path / "empty.png")
    assert {(255, 255, 255), (0, 0, 0)} <= seen  # titles and axes
    assert sum(len(set(colour)) > 1 for colour in seen) > 100  # the colour bars


def test_large_grids_stay_readable(tmp_path):
    cells = grid(*(sample_result(a, b, score=a / 30) for a in range(5) for b in range(26)))
    save_heatmaps(cells, metric_panels(cells, "svcca"), tmp_path / "large")
    height, width, _ = matplotlib.image.imread(tmp_path / "large.png").shape
    assert width > 26 * 50  # pixels a cell
    assert height > 4 * 5 * 40


def test_a_grid_of_transfers_has_its_heatmaps(tmp_path):
    jobs = []
    for layer in range(3):
        found = sample_transfer(0.5 + layer / 10, parts="maps") if layer else None
        result = replace(sample_result(0, layer), transfer=found)
        jobs.append(Job(str(layer), tmp_path, result))
    (grid,) = layer_grids(jobs)
    panels = {panel.title: panel.values for panel in panel_groups(grid)["transfer"]}
    np.testing.assert_array_equal(panels["map from A to B, explained variance"], [[np.nan, 0.6, 0.7]])
    assert not [title for title in panels if "steering" in title]
    assert tmp_path / "heatmap_transfer.png" in draw_grid(grid, tmp_path, "")
