"""What a multirun leaves behind: lines, tables, figures, results, failures."""

import json
import re
import shutil

import matplotlib.image
import pyarrow.parquet as pq
import pytest

from analogue.cli.report import main
from analogue.results import read_results


@pytest.fixture
def report(monkeypatch, capsys):
    """Run `analogue report` in a folder; returns exit code, standard output and standard error."""

    def run(*arguments, cwd):
        monkeypatch.chdir(cwd)
        return main([*map(str, arguments)]), *capsys.readouterr()

    return run


def test_a_sweep_with_failures_ends_with_code_1_and_says_what_failed(sweep):
    assert sweep.ended.returncode == 1
    assert "Traceback" not in sweep.ended.stderr
    assert sweep.ended.stderr.count("error: layer_b=99") == 3
    assert sweep.ended.stderr.count("error: IsADirectoryError") == 1
    for job in (1, 3, 5):
        assert f"job {job} failed: layer_b=99: embedded:stories-12 has blocks 0 to 11" in sweep.ended.stdout
    assert re.search(r"^2 comparisons, 4 failed, \d model passes over the corpus", sweep.ended.stdout, re.MULTILINE)
    assert "page: runs/first/report.html" in sweep.ended.stdout


def test_every_job_that_ends_is_a_line_of_progress(sweep):
    lines = re.findall(r"^sweep: .*$", sweep.ended.stdout, re.MULTILINE)
    assert [re.sub(r" about .* left", " about ? left", line) for line in lines] == [
        "sweep: 1 of 6 jobs ended: 1 done, 0 failed, 0 taken over, about ? left",
        "sweep: 2 of 6 jobs ended: 1 done, 1 failed, 0 taken over, about ? left",
        "sweep: 3 of 6 jobs ended: 2 done, 1 failed, 0 taken over, about ? left",
        "sweep: 4 of 6 jobs ended: 2 done, 2 failed, 0 taken over, about ? left",
        "sweep: 5 of 6 jobs ended: 2 done, 3 failed, 0 taken over, about ? left",
        "sweep: 6 of 6 jobs ended: 2 done, 4 failed, 0 taken over",
    ]


def test_a_failed_job_keeps_its_error_its_configuration_and_its_traceback(sweep):
    failure = json.loads((sweep.directory / "1" / "failure.json").read_text())
    assert failure["error"] == "layer_b=99: embedded:stories-12 has blocks 0 to 11"
    assert failure["config"]["layer_b"] == 99
    assert "check_layer" in (sweep.directory / "1" / failure["traceback"]).read_text()
    assert not (sweep.directory / "1" / "result.json").exists()


def test_what_is_no_users_error_does_not_stop_a_sweep_either(sweep):
    failure = json.loads((sweep.directory / "4" / "failure.json").read_text())
    assert failure["error"].startswith("IsADirectoryError: ")
    assert (sweep.directory / "4" / "traceback.txt").read_text().startswith("Traceback (most recent call last)")
    assert (sweep.directory / "5" / "failure.json").exists()


def test_tables_and_figures_hold_the_scores_of_the_records(sweep):
    results = read_results(sweep.directory)
    assert len(results) == 2
    table = pq.read_table(sweep.directory / "results.parquet").to_pylist()
    for result in results:
        options = result.config["choices"]
        assert (options["filters"], options["model_a"], options["cache"]) == ("paper", "stories_6", "disk")
        mine = [row for row in table if row["layer_a"] == result.side_a.layer]
        assert [(row["metric"], row["score"]) for row in mine] == [
            (entry["metric"], entry["score"]) for entry in result.similarity
        ]
        for entry in result.similarity:
            assert f"{entry['score']:.2f}" in sweep.ended.stdout
    for name in ("svcca", "svcca_pc1", "rsa", "pairs"):
        picture = matplotlib.image.imread(sweep.directory / f"heatmap_{name}.png")
        assert len({tuple(pixel) for pixel in picture.reshape(-1, picture.shape[-1])[::7]}) > 20
        assert (sweep.directory / f"heatmap_{name}.pdf").stat().st_size > 5000


def test_the_draws_of_each_null_lie_beside_the_record(sweep):
    (result, *_) = read_results(sweep.directory)
    draws = pq.read_table(sweep.directory / "0" / "nulls.parquet")
    assert draws.column_names == ["svcca", "svcca_pc1", "rsa"]
    for entry in result.similarity:
        values = draws[entry["metric"]].to_numpy()
        assert len(values) == entry["n_null"] == 19
        assert values.mean() == pytest.approx(entry["null_mean"], abs=1e-12)
        assert (1 + (values >= entry["score"]).sum()) / 20 == pytest.approx(entry["p_value"])


def test_the_report_of_several_sweeps_is_written_where_asked(sweep, report, tmp_path):
    shutil.copytree(sweep.directory, tmp_path / "second" / "copy")
    code, printed, errors = report(sweep.directory, tmp_path / "second", "--output", "both", cwd=tmp_path)
    assert code == 0, errors
    assert "2 comparisons (2 repeated), 8 failed" in printed
    assert (tmp_path / "both" / "report.html").stat().st_size < 10e6
    jobs = pq.read_table(tmp_path / "both" / "results.parquet")["job"].to_pylist()
    assert len(set(jobs)) == 2  # of two jobs that ask for the same, one counts


def test_a_report_that_cannot_be_written_is_refused_in_one_sentence(sweep, report, tmp_path):
    (tmp_path / "file").touch()
    code, _, errors = report(sweep.directory, "--output", "file/report", cwd=tmp_path)
    assert code == 1
    assert errors == "error: --output=file/report: cannot be written (Not a directory); choose another folder\n"


def test_a_folder_without_records_is_refused_in_one_sentence(report, tmp_path):
    for place, problem in ((".", "holds no readable result.json"), ("nowhere", "is not a folder")):
        code, _, errors = report(place, cwd=tmp_path)
        assert code == 1
        assert errors.startswith(f"error: directory={place}: {problem}")
        assert not list(tmp_path.iterdir())
