"""The page, opened in a browser without a network; screenshots are kept for a person to look at."""

import base64
import gzip
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analogue.reporting.report import save_report
from analogue.results.grids import layer_grids
from analogue.results.jobs import Failure, read_jobs
from analogue.results.record import write_result
from tests.results.samples import (
    TOKENS,
    sample_nulls,
    sample_pairs,
    sample_result,
    sample_transfer,
    sample_transfer_table,
)

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def made_up_report(directory, n_rows=2, n_columns=3):
    for row in range(n_rows):
        for column in range(n_columns):
            score = None if row == column == 1 else 0.2 + 0.05 * column
            nulls = None if column == 2 else sample_nulls()
            result = sample_result(row, column, score=score, p_value=0.03 if column else 0.4)
            write_result(result, sample_pairs(seed=column), directory / str(row * n_columns + column), nulls)
    failures = {"9": Failure("layer_b=99: no <such> layer", {})}
    save_report(layer_grids(read_jobs([directory])), failures, directory / "report.html")
    return directory / "report.html"


def data_of(page):
    packed = re.search(r'<script id="data"[^>]*>([^<]*)<', page.read_text()).group(1)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        found = [path for path in (*map(shutil.which, NAMES), started.chromium.executable_path) if path]
        if not Path(found[0]).exists():
            pytest.skip("no Chromium here: apt-get install chromium-headless-shell, or playwright install chromium")
        browser = started.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Open a page from its file; whatever it says on the console or asks of a network fails the test."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))

    def open_page(path):
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        page.wait_for_function("document.querySelectorAll('.panel .hm image').length >= 3")
        return page

    yield open_page
    assert complaints == []
    page.close()


def keep(page, name):
    directory = Path(os.environ.get("ANALOGUE_SCREENSHOTS", "build/screenshots"))
    directory.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=directory / f"{name}.png", full_page=True)


def click_cell(page, row, column, n_rows, n_columns):
    box = page.locator(".panel .nsewdrag").first.bounding_box()
    page.mouse.move(
        box["x"] + box["width"] * (column + 0.5) / n_columns, box["y"] + box["height"] * (row + 0.5) / n_rows
    )
    hover = page.locator(".hovertext").first.text_content()
    page.mouse.down()
    page.mouse.up()
    return hover


def test_the_page_of_a_real_sweep_opens_and_a_click_shows_the_job(opened, sweep):
    page = opened(sweep.directory / "report.html")
    (grid,) = data_of(sweep.directory / "report.html")["grids"]
    keep(page, "sweep")
    hover = click_cell(page, 1, 0, 2, 1)
    assert "layer_a 2, layer_b 4" in hover
    assert next(iter(grid["groups"])) == "rsa"  # the score that docs/validity.md recommends
    assert f"rsa, above the mean of its null: {grid['groups']['rsa'][0]['values'][1][0]:.3f}"[:-1] in hover
    page.wait_for_function("location.hash === '#job-2'")  # the job's own number: job 1 has failed
    job = page.locator("#job")
    assert "Job 2: stories-6 vs stories-12, layers 2 and 4" in job.inner_text()
    assert job.locator(".bars .point").count() > 20  # funnel, histograms of the nulls, firing counts
    assert job.locator("table").nth(1).locator("tbody tr").count() == 8
    keep(page, "sweep_job")


def test_tokens_and_errors_are_shown_as_text(opened, tmp_path):
    page = opened(made_up_report(tmp_path))
    assert "1 failed job" in page.locator("#sweep").inner_text()
    assert "9: layer_b=99: no <such> layer" in page.locator("#sweep").inner_text()
    click_cell(page, 0, 1, 2, 3)
    page.wait_for_function("!document.getElementById('job').hidden")
    shown = set(page.locator("#job .token").all_text_contents())
    assert shown == {token.replace("\n", "↵") for token in TOKENS}  # a line break, which nobody would see
    keep(page, "made_up_job")


def test_a_job_without_score_or_without_draws_is_shown_too(opened, tmp_path):
    path = made_up_report(tmp_path)
    page = opened(path)
    page.evaluate("location.hash = '#job-4'")
    page.wait_for_function("document.querySelector('#job h2')?.textContent.includes('layers 1 and 1')")
    assert "svcca: no score, 2 pairs are left, 3 are needed" in page.locator("#job").inner_text()
    page.evaluate("location.hash = '#job-2'")
    page.wait_for_function("document.querySelector('#job h2')?.textContent.includes('layers 0 and 2')")
    assert page.locator("#job .errorbars").count() > 0  # mean and sd stand for the draws


def test_the_evidence_of_pairs_is_shown(opened, tmp_path):
    for layer, pairs in enumerate((sample_pairs(), sample_pairs(seed=1))):
        result = sample_result(0, layer)
        if layer:
            evidence = {"n_null": 100, "pooled": True, "q": 0.05, "n_kept": 20, "n_kept_beyond_chance": 17}
            sides = [{"n_tested": 700, "n_beyond_chance": n, "n_positional": 0} for n in (611, 598)]
            result = replace(result, evidence=evidence | {"a": sides[0], "b": sides[1]})
            pairs = pairs.append_column("p_value", [np.linspace(0.001, 0.5, 40)])
            pairs = pairs.append_column("q_value", [[None, *np.linspace(0.002, 1, 39)]])
        write_result(result, pairs, tmp_path / str(layer), sample_nulls())
    save_report(layer_grids(read_jobs([tmp_path])), {}, tmp_path / "report.html")
    page = opened(tmp_path / "report.html")
    page.evaluate("location.hash = '#job-1'")
    page.wait_for_function("document.querySelector('#job h2')?.textContent.includes('layers 0 and 1')")
    shown = page.locator("#job").inner_text()
    assert "A partner beyond chance at q ≤ 0.05 (100 draws of permuted sequences, pooled)" in shown
    assert "features of A\t700\t611" in shown
    cells = page.locator("#job .pairs tbody tr").first.locator("td").all_text_contents()
    assert cells[2:5] == ["0.950", "0.0010", "\u2013"]
    page.evaluate("location.hash = '#job-0'")
    page.wait_for_function("document.querySelector('#job h2')?.textContent.includes('layers 0 and 0')")
    assert "beyond chance" not in page.locator("#job").inner_text()
    assert page.locator("#job .pairs thead th").count() == 14


def test_features_used_in_the_other_model_are_shown(opened, tmp_path):
    for layer, parts in enumerate((None, "all", "maps", "interventions")):
        found = sample_transfer(parts=parts) if parts else None
        write_result(
            replace(sample_result(0, layer), transfer=found),
            sample_pairs(),
            tmp_path / str(layer),
            sample_nulls(),
            sample_transfer_table() if parts else None,
        )
    (tmp_path / "3" / "transfer.parquet").write_bytes(b"damaged")
    save_report(layer_grids(read_jobs([tmp_path])), {}, tmp_path / "report.html")
    page = opened(tmp_path / "report.html")
    shown = []
    for layer in range(4):
        page.evaluate(f"location.hash = '#job-{layer}'")
        page.wait_for_function(f"document.querySelector('#job h2')?.textContent.includes('layers 0 and {layer}')")
        shown.append(page.locator("#job").inner_text())
        assert page.locator("#transfer .scatterlayer").count() == (2 if layer == 1 else 0)
        assert page.locator("#transfer table").count() == (0, 5, 3, 0)[layer]
    assert "A to B\t0.700\t0.860\t-0.001\t0.598\t0.843" in shown[1]
    assert "Do pairs that fire alike act alike?" in shown[1]
    assert "transfer.parquet is not readable" in shown[3]
    assert page.get_by_role("button", name="transfer").count() == 1
    page.evaluate("location.hash = '#job-1'")
    page.wait_for_function("document.querySelectorAll('#transfer .scatterlayer .trace').length == 5")
    points = page.evaluate("[...document.querySelectorAll('#transfer .js-plotly-plot')].map(p => p.data[0].x.length)")
    assert points == [2, 3]  # doses, and pairs whose effects were measured


def test_a_narrow_screen_needs_no_scrolling_sideways(opened, tmp_path):
    page = opened(made_up_report(tmp_path, n_columns=12))
    numbers = page.locator("#sweep .heatmap-label")
    assert numbers.count() > 0
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.evaluate("location.hash = '#job-0'")
    page.wait_for_function("document.querySelectorAll('#job .bars .point').length > 0")
    page.wait_for_function("document.documentElement.scrollWidth === 390")  # plots adapt once they are shown
    assert numbers.count() == 0  # numbers would overlap in cells so small
    keep(page, "narrow")


def test_a_job_with_damaged_files_is_shown_without_them(opened, tmp_path):
    made_up_report(tmp_path)
    (tmp_path / "0" / "pairs.parquet").write_text("cut off")
    (tmp_path / "0" / "nulls.parquet").write_text("cut off")
    save_report(layer_grids(read_jobs([tmp_path])), {}, tmp_path / "report.html")
    page = opened(tmp_path / "report.html")
    page.evaluate("location.hash = '#job-0'")
    page.wait_for_function("!document.getElementById('job').hidden")
    told = page.locator("#job .warning").all_text_contents()
    assert told == [
        "! no pair is shown: pairs.parquet is no Parquet file that can be read",
        "! no draw is shown: nulls.parquet is no Parquet file that can be read",
    ]
    assert page.locator("#job .errorbars").count() > 0


def test_a_job_leads_to_its_explorer_and_back_to_the_sweep(opened, tmp_path):
    made_up_report(tmp_path)
    (tmp_path / "3" / "explorer.html").write_text("<title>its features</title>")
    save_report(layer_grids(read_jobs([tmp_path])), {}, tmp_path / "report.html")
    page = opened(tmp_path / "report.html")
    page.evaluate("location.hash = '#job-2'")
    page.wait_for_function("document.querySelector('#job h2')?.textContent.includes('layers 0 and 2')")
    assert page.locator("#job a.explorer").count() == 0
    page.evaluate("location.hash = '#job-3'")
    page.wait_for_function("document.querySelector('#job h2')?.textContent.includes('layers 1 and 0')")
    page.get_by_text("back to the sweep").last.click()
    page.wait_for_function("document.getElementById('job').hidden")
    page.evaluate("location.hash = '#job-3'")
    page.locator("#job a.explorer").click()
    page.wait_for_function("document.title === 'its features'")


def test_all_jobs_stand_in_a_table_that_can_be_sorted(opened, tmp_path):
    for number, (name, layer) in enumerate((name, layer) for name in ("none", "paper") for layer in range(5)):
        scores = {"score": 0.3 + 0.1 * (layer * 7 % 5) + 0.01 * number, "p_value": 0.05}
        result = sample_result(1, layer, choices={"filters": name}, filters={"tokens": name}, **scores)
        result = replace(result, warnings=[f"a_token_without_any_space_{'x' * 400}"])
        write_result(result, sample_pairs(seed=number), tmp_path / str(number), sample_nulls())
    save_report(layer_grids(read_jobs([tmp_path])), {}, tmp_path / "report.html")
    page = opened(tmp_path / "report.html")
    headings = page.locator(".jobs th").all_inner_texts()
    assert headings[:6] == ["job ↑", "setting", "layer A", "layer B", "pairs", "mean r"]
    assert headings[6:9] == ["rsa above null", "z", "p"]
    assert page.locator("h2").all_inner_texts()[:2] == [
        f"stories-6 vs stories-12 · filters={name}" for name in ("none", "paper")
    ]
    assert "rsa: p = 0.05 in all 5 cells" in page.locator(".line").first.inner_text()

    def column(number):
        return page.locator(f".jobs tbody td:nth-child({number + 1})").all_inner_texts()

    assert column(0) == [str(number) for number in range(10)]
    assert column(1) == ["filters=none"] * 5 + ["filters=paper"] * 5
    page.get_by_role("button", name="rsa above null").press("Enter")
    excess = [float(text) for text in column(6)]
    assert excess == sorted(excess, reverse=True)
    assert len(set(excess)) == 10
    assert page.locator(".jobs th").nth(6).get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="rsa above null").press("Enter")
    assert [float(text) for text in column(6)] == excess[::-1]
    link = page.locator(".jobs tbody a").first
    number = link.inner_text()
    link.click()
    page.wait_for_function("number => location.hash === `#job-${number}`", arg=number)
    assert page.locator("#job h2").inner_text().startswith(f"Job {number}: ")
    page.wait_for_function("document.documentElement.scrollWidth <= 1400", timeout=5000)  # the long warning wraps
    keep(page, "sweep_table")


def test_every_metric_has_its_heatmaps(opened, tmp_path):
    page = opened(made_up_report(tmp_path))
    for name, first in {"svcca": "svcca, above the mean of its null", "pairs": "mean correlation, all pairs"}.items():
        page.locator(".tabs").get_by_role("button", name=name, exact=True).click()
        page.wait_for_function("text => document.querySelector('.panel .gtitle')?.textContent === text", arg=first)
    assert "fires" not in page.locator("#sweep").inner_text()


def test_the_page_needs_nothing_from_elsewhere_and_is_small(tmp_path):
    path = made_up_report(tmp_path)
    assert path.stat().st_size < 10e6
    own = re.sub(r"<script>/\*\*.*?</script>", "", path.read_text(), flags=re.DOTALL)
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"'](?!data:)", own)


def test_the_page_holds_histograms_best_and_worst_pairs(tmp_path):
    data = data_of(made_up_report(tmp_path))
    job = data["jobs"][0]
    svcca = job["similarity"][0]
    assert sum(svcca["histogram"]["counts"]) == 19
    correlations = [row[2] for row in job["best"] + job["worst"]]
    assert correlations == sorted(correlations, reverse=True)
    assert correlations[0] == 0.95
    assert sum(job["firing"]["a"]) == sum(job["firing"]["b"]) == 20
    assert "histogram" not in data["jobs"][2]["similarity"][0]
