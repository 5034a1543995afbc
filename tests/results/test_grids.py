"""How jobs are laid out, and the table of their results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from scipy.stats import false_discovery_control

from analogue.reporting.heatmap import file_suffixes
from analogue.reporting.panels import metric_panels, p_value_line, pair_panels, panel_groups
from analogue.results.grids import layer_grids, protocol
from analogue.results.jobs import Job, read_failures, read_jobs
from analogue.results.published import published_scores
from analogue.results.record import write_result
from analogue.results.results_table import results_table, save_results
from tests.results.samples import sample_pairs, sample_result


def jobs(*results):
    return [Job(str(number), Path(), result) for number, result in enumerate(results)]


def test_jobs_that_differ_in_more_than_layers_are_grids_of_their_own():
    settings = [{"filters": {"shared_token": on, "top": 5}} for on in (True, False)]
    grids = layer_grids(jobs(*(sample_result(a, 3, **each) for each in settings for a in (1, 2))))
    assert [grid.setting for grid in grids] == ["filters.shared_token=True", "filters.shared_token=False"]
    assert [list(grid.jobs) for grid in grids] == [[(1, 3), (2, 3)]] * 2
    assert grids[0].title == "stories-6 vs stories-12 · filters.shared_token=True"


def test_settings_are_named_by_the_options_of_their_groups():
    options = {"none": {"shared_token": False, "top": 5}, "paper": {"shared_token": True, "top": 5}}

    def made(name, **settings):
        return sample_result(1, 1, choices={"filters": name, "logger": name}, filters=options[name] | settings)

    grids = layer_grids(jobs(made("none"), made("paper")))
    assert [grid.setting for grid in grids] == ["filters=none", "filters=paper"]
    assert file_suffixes(grids) == ["_filters=none", "_filters=paper"]
    grids = layer_grids(jobs(made("none"), made("paper"), made("paper", top=9)))  # a key that no option decides
    assert [grid.setting for grid in grids] == [
        "filters=none filters.top=5",
        "filters=paper filters.top=5",
        "filters=paper filters.top=9",
    ]
    # A preset decides options and settings of other groups, and names them all.
    presets = [
        sample_result(1, 1, choices={"filters": name, "experiment": f"{name}s"}, filters=options[name])
        for name in options
    ]
    assert [grid.setting for grid in layer_grids(jobs(*presets))] == ["experiment=nones", "experiment=papers"]
    unnamed = layer_grids(jobs(*(sample_result(1, 1, filters={"tokens": name * 90}) for name in "ab")))
    assert file_suffixes(unnamed) == ["_0", "_1"]


def test_where_a_job_writes_does_not_set_it_apart():
    places = [{"output_dir": name, "logger": {"save_dir": name}, "cache": {"dir": name}} for name in "ab"]
    grids = layer_grids(jobs(*(sample_result(layer, 1, **each) for layer, each in enumerate(places))))
    assert [grid.setting for grid in grids] == [""]


def test_of_two_jobs_that_ask_for_the_same_the_later_counts():
    old, new = sample_result(score=0.1), sample_result(score=0.9, created="2026-02-01T00:00:00+00:00")
    for order in ((old, new), (new, old)):
        (grid,) = layer_grids(jobs(*order))
        assert grid.jobs[1, 2].result is new


def test_values_are_nan_where_there_is_no_job_or_no_number():
    (grid,) = layer_grids(jobs(sample_result(1, 1), sample_result(2, 2, score=None)))
    panels = metric_panels(grid, "svcca")
    assert [panel.title.split(", ")[1] for panel in panels] == [
        "above the mean of its null",
        "paired score",
        "mean of the null",
    ]
    for panel in panels:
        assert np.isfinite(panel.values).tolist() == [[True, False], [False, False]]
    assert [panel.values[1, 1] for panel in pair_panels(grid)] == [0.4, 0.6, 40, 20]


def test_p_values_are_corrected_over_the_cells_of_a_grid():
    p_values = [0.01, 0.04, 0.03, 0.2]
    (grid,) = layer_grids(jobs(*(sample_result(1, layer, p_value=p) for layer, p in enumerate(p_values))))
    np.testing.assert_allclose(grid.adjusted_p_values("svcca")[0], false_discovery_control(p_values))
    excess, score, _, p, adjusted = metric_panels(grid, "svcca")
    assert score.marked.tolist() == excess.marked.tolist() == [[False, False, False, True]]
    np.testing.assert_array_equal(p.values[0], p_values)
    np.testing.assert_array_equal(adjusted.values, grid.adjusted_p_values("svcca"))
    assert p_value_line(grid, "svcca") is None


def test_the_score_that_can_be_read_as_a_degree_comes_first_as_its_distance_from_the_null():
    (grid,) = layer_grids(jobs(sample_result(1, 1), sample_result(1, 2, score=0.7)))
    assert list(panel_groups(grid)) == ["rsa", "svcca", "pairs"]
    np.testing.assert_allclose(panel_groups(grid)["rsa"][0].values, [[0.25 - 0.001, 0.35 - 0.001]])


def test_p_values_that_are_all_the_same_are_a_line_and_no_map():
    (grid,) = layer_grids(jobs(*(sample_result(1, layer, p_value=0.05) for layer in range(3))))
    line = "svcca: p = 0.05 in all 3 cells, also after Benjamini-Hochberg, the least that its draws can give"
    assert p_value_line(grid, "svcca") == line
    assert not [panel for panel in metric_panels(grid, "svcca") if "p-value" in panel.title]
    (grid,) = layer_grids(jobs(sample_result(1, 1, p_value=0.4), sample_result(1, 2, score=None)))
    assert p_value_line(grid, "svcca") == "svcca: p = 0.4 in the one cell with a score"


def test_the_papers_numbers_stand_beside_ours_where_it_has_some():
    def pythia(*layers):
        printed = published_scores("pythia_70m_vs_160m", *layers)
        return replace(sample_result(*layers), published=[each._asdict() for each in printed])

    (grid,) = layer_grids(jobs(pythia(1, 1), pythia(2, 1), pythia(2, 0)))
    printed = {panel.title: panel.values for panel in panel_groups(grid)["published"]}
    table_5 = printed["published n_pairs, Table 5, after concept filters"]
    np.testing.assert_array_equal(table_5, [[np.nan, 23600], [np.nan, 21423]])
    (ours,) = layer_grids(jobs(sample_result()))
    assert "published" not in panel_groups(ours)


def test_the_protocol_names_rule_direction_filters_null_and_corpus():
    told = protocol(sample_result())
    assert told == (
        "max_correlation, a_to_b; filters: shared_token; null: 19 shuffle draws; "
        "2990 tokens in 10 sequences of stories.jsonl"
    )


def test_results_have_a_row_for_each_job_and_metric_and_read_back(tmp_path):
    table = results_table(layer_grids(jobs(sample_result(1, 2), sample_result(1, 3, score=None))))
    save_results(table, tmp_path)
    assert pq.read_table(tmp_path / "results.parquet").equals(table)
    rows = pyarrow.csv.read_csv(tmp_path / "results.csv").to_pylist()
    assert [(row["layer_b"], row["metric"], row["score"]) for row in rows] == [
        (2, "svcca", 0.5),
        (2, "rsa", 0.25),
        (3, "svcca", None),
        (3, "rsa", None),
    ]
    assert [row["p_value_bh"] for row in rows] == [0.01, 0.01, None, None]


def test_nothing_in_the_results_tells_one_run_of_a_job_from_another():
    first = sample_result(created="2026-01-01T00:00:00+00:00", output_dir="here")
    second = sample_result(created="2026-03-03T00:00:00+00:00", output_dir="there")
    assert results_table(layer_grids(jobs(first))).equals(results_table(layer_grids(jobs(second))))


def test_jobs_are_read_in_the_order_of_their_numbers_and_damaged_ones_are_told(tmp_path, caplog):
    for number in (10, 2, 1):
        write_result(sample_result(number, 1), sample_pairs(), tmp_path / str(number))
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "result.json").write_text('{"schema_version": 1, "created"')
    assert [job.name for job in read_jobs([tmp_path])] == ["1", "2", "10"]
    assert "3/result.json is no record that can be read" in caplog.text
    assert read_failures([tmp_path]) == {}


@pytest.mark.parametrize("record", ["[]", "{}", '{"schema_version": 1}', '{"schema_version": 1, "corpus": []}', "\x00"])
def test_whatever_a_damaged_record_holds_it_is_left_out(tmp_path, record):
    write_result(sample_result(), sample_pairs(), tmp_path / "0")
    (tmp_path / "0" / "result.json").write_text(record)
    assert read_jobs([tmp_path]) == []


def test_a_failed_job_whose_record_is_damaged_has_failed_too(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "failure.json").write_text('{"error": "cut o')
    assert read_failures([tmp_path])["0"].error.startswith("failure.json is not readable")


@pytest.mark.parametrize("names", [("monday", "tuesday"), ("a/x", "a/y")])
def test_jobs_of_several_sweeps_keep_their_sweeps_name(tmp_path, names):
    for name in names:
        write_result(sample_result(), sample_pairs(), tmp_path / name / "0")
    found = [job.name for job in read_jobs([tmp_path / name for name in names])]
    assert found == [f"{name.removeprefix('a/')}/0" for name in names]
