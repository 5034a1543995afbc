"""The real pair beside its controls, in one table: in the terminal, in the results and on the page."""

import base64
import gzip
import json
import os
import re
from dataclasses import replace

import pyarrow.parquet as pq

from analogue.reporting.controls import control_table
from analogue.results.jobs import Job
from tests.processes import COMPARE, run
from tests.results.samples import sample_result

CONTROLS = ["real", "frozen_decoder", "randomised_model", "random", "identity"]


def job(name, control, layer_b=5):
    result = sample_result(3, layer_b)
    return Job(name, None, replace(result, config=result.config | {"control": control}))


def test_a_row_for_each_control_in_their_order_and_none_for_other_jobs():
    jobs = [job("0", "real"), job("1", "identity"), job("2", None)]
    found = control_table(jobs)
    assert [row[0] for row in found.rows] == ["real", "identity"]
    assert found.jobs == jobs[:2]
    assert all(len(row) == len(found.headings) for row in found.rows)
    entry = jobs[0].result.similarity[0]
    cell = found.rows[0][found.headings.index(entry["metric"])]
    assert cell == f"{entry['score']:.2f} ({entry['null_mean']:.2f})"
    assert control_table(jobs[2:]) is None


def test_layers_are_named_where_they_differ():
    found = control_table([job("0", "real"), job("1", "real", layer_b=6)])
    assert [row[1] for row in found.rows] == ["3, 5", "3, 6"]


def test_the_preset_sets_all_controls_beside_the_embedded_pair(tmp_path, activation_cache):
    small = ("data.n_sequences=8", "data.seq_len=80", "null.n=9", f"cache.dir={activation_cache}", "logger=none")
    controls = ("experiment=controls", "sweep.dir=controls", "trainer.accelerator=cpu")
    ended = run(COMPARE, *controls, *small, cwd=tmp_path, env=os.environ | {"COLUMNS": "80"})
    shown = ended.stdout.partition("Controls: EV")[2]
    rows = [line.split()[0] for line in shown.splitlines() if line.strip().startswith(tuple(CONTROLS))]
    assert rows == CONTROLS
    assert max(len(line.rstrip()) for line in shown.splitlines() if "controls" not in line) <= 80
    assert (
        "explains" not in ended.stdout.partition("sweep: 4 of 5")[2]
    )  # nobody expects it of directions and coordinates

    table = pq.read_table(tmp_path / "controls" / "results.parquet").to_pylist()
    assert list(dict.fromkeys(row["control"] for row in table)) == CONTROLS

    page = (tmp_path / "controls" / "report.html").read_text(encoding="utf-8")
    packed = re.search(r'id="data" type="application/octet-stream">([^<]+)<', page)[1]
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert [row[0] for row in data["controls"]["rows"]] == CONTROLS
    assert data["grids"] == []
    assert [data["jobs"][number]["name"] for number in data["controls"]["jobs"]] == list("01234")
