"""The page, the tables and the W&B run of a study of many spaces."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from analogue.cli.universality import run_universality
from analogue.reporting.universality import save_page, universality_tables
from analogue.reporting.universality_figures import branches
from tests.reporting.test_report import browser, data_of  # noqa: F401
from tests.reporting.wandb_runs import read_runs
from tests.universality.test_command import LAYERS, QUIET, SMALL


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    from analogue.cli.conf import UNIVERSALITY

    directory = tmp_path_factory.mktemp("study")
    places = (f"output_dir={directory}/out", f"cache.dir={directory}/cache")
    cfg = UNIVERSALITY.compose(*SMALL, *QUIET, *LAYERS, *places)
    return run_universality(cfg), directory / "out"


def test_the_page_says_what_the_record_says(study):
    found, directory = study
    data = data_of(directory / "universality.html")
    assert data["spectrum"] == found.record.spectrum
    assert data["n_clusters"] == len(data["clusters"]) == sum(found.record.n_clusters.values())
    sizes = [each[1] for each in data["clusters"]]
    assert sizes == sorted(sizes, reverse=True)
    for each in data["clusters"]:
        assert len(each[6]) == each[1]
        assert all(1 <= len(member[5]) <= 3 for member in each[6])
    assert data["n_exclusive"] == sum(kinds["exclusive"] for kinds in found.record.kinds)


def test_the_page_is_searched_without_a_network(study, browser):  # noqa: F811
    found, directory = study
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    page.goto((directory / "universality.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    total = sum(found.record.n_clusters.values())
    assert page.inner_text("#found") == f"{total} of {total} clusters"
    page.select_option("select", "3")
    assert page.inner_text("#found") == f"{found.record.n_clusters['3']} of {total} clusters"
    assert page.locator(".cluster").first.locator(".members > div").count() == 3
    page.fill("input[type=search]", "no such text anywhere")
    assert page.inner_text("#found") == f"0 of {total} clusters"
    token = found.clusters[found.clusters["size"] == 3].top_tokens.iloc[0][0].strip()
    page.fill("input[type=search]", token)
    assert 0 < int(page.inner_text("#found").split()[0]) <= found.record.n_clusters["3"]
    assert page.locator(".panel .sankey").count() == 1
    assert complaints == []
    page.close()


def test_tokens_that_look_like_markup_stay_text(study, browser, tmp_path):  # noqa: F811
    found, _ = study
    tables = dict(found.tables)
    clusters = tables["clusters.parquet"].to_pylist()
    clusters[0]["top_tokens"] = ["<img src=x onerror=alert(1)>"]
    tables["clusters.parquet"] = type(tables["clusters.parquet"]).from_pylist(clusters)
    save_page(found.record, tables, tmp_path / "page.html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    page.fill("input[type=search]", "onerror")
    assert page.inner_text(".cluster .token") == "<img src=x onerror=alert(1)>"
    page.close()


def test_the_terminal_shows_the_spectrum(study):
    found, _ = study
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(universality_tables(found.record))
    shown = capture.get()
    assert "permuted sequences, mean" in shown
    row = next(line.split() for line in shown.splitlines() if line.strip().startswith("layer 5"))
    assert row[2:5] == [str(count) for count in found.record.spectrum[1]]


def test_many_spaces_fit_into_a_terminal(study):
    found, _ = study
    n = 12
    spectrum = [[100 + k for k in range(n)] for _ in range(n)]
    many = {"names": [f"layer {s}" for s in range(n)], "spectrum": spectrum, "kinds": found.record.kinds[:1] * n}
    many |= {"n_clusters": {str(k): k for k in range(2, n + 1)}, "changes": [], "spectrum_by_chance": None}
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        console.print(universality_tables(replace(found.record, **many)))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["space", "1", "2", "3-7", "8-11", "12", "shared"] in lines
    assert ["layer", "3", "100", "101", "520", "434", "111", "92.1%"] in lines
    assert ["clusters", "2", "25", "38", "12"] in lines


def test_the_lines_of_a_tree_meet():
    steps = [{"one": 0, "other": 2, "distance": 0.2}, {"one": 1, "other": 3, "distance": 0.6}]
    lines = branches(steps, 3)
    assert lines["leaves"] == [1, 0, 2]
    assert lines["brackets"][0] == [[0.0, 0.2, 0.2, 0.0], [1.0, 1.0, 2.0, 2.0]]
    assert lines["brackets"][1] == [[0.0, 0.6, 0.6, 0.2], [0.0, 0.0, 1.5, 1.5]]


def test_wandb_gets_counts_figures_and_files(study, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    from analogue.reporting.tracking import log_or_warn, wandb_logger
    from analogue.reporting.universality_tracking import log_universality

    found, directory = study
    figures = sorted(directory.glob("*.png"))
    log_or_warn(
        lambda: wandb_logger("test", str(tmp_path)),
        lambda logger: log_universality(logger, found.record, figures, directory),
    )
    [run] = read_runs(tmp_path)
    assert run.history["clusters/3"] == found.record.n_clusters["3"]
    assert run.history["features/layer 4/shared"] == found.record.kinds[0]["shared"]
    assert len(run.table("matrices/matched")) == 3
    [files] = [names for names in run.artifacts.values() if "universality.json" in names]
    assert {"clusters.parquet", "features.parquet", "spaces.parquet", "universality.html"} <= set(files)
    assert json.loads((directory / "universality.json").read_text())["schema_version"] == 1
