"""Appendix A in miniature, as a user runs it: `train_sae.py` and `compare.py experiment=seed_study`."""

import os
import re
import subprocess
import sys

import pytest

from analogue.results import read_results
from tests.processes import COMPARE, TRAIN_SAE, run

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "logger=none")
TRAINING = (
    "experiment=seed_study",
    "n_tokens=8192",
    "batch_tokens=512",
    "buffer.tokens=4096",
    "data.seq_len=64",
    "evaluation.n_tokens=512",
)
STUDY = (
    "experiment=seed_study",
    "data.n_sequences=20",
    "data.seq_len=100",
    "null.n=19",
    "cache.dir=cache",
    "sweep.dir=study",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """What the study prints, and its records."""
    folder = tmp_path_factory.mktemp("seed_study")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TRAIN_SAE), *TRAINING, *QUIET]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    return run(COMPARE, *STUDY, *QUIET, cwd=folder).stdout, read_results(folder / "study")


def test_every_width_pairing_direction_and_filter_is_compared(study):
    _, results = study
    settings = {(each.side_a.d_sae, each.rule, each.direction, len(each.funnel)) for each in results}
    assert len(settings) == len(results) == 2 * 2 * 2 * 2
    assert {each.side_a.d_sae for each in results} == {768, 1536}
    assert sum(each.n_model_passes for each in results) == 2  # a width at a time; both seeds share the pass


def test_the_table_has_a_row_for_each_pairing_with_and_without_filter(study):
    printed, results = study
    table = printed.split("Two SAEs of one model: ")[1]
    assert table.startswith("svcca_pc1")
    rows = [line.split() for line in table.splitlines() if re.match(r"\s*(768|1536) ", line)]
    assert [row[:3] for row in rows] == [
        [width, rule, direction]
        for width in ("768", "1536")
        for rule in ("max_correlation", "cosine")
        for direction in ("1A-to-ManyB", "ManyA-to-1B")
    ]
    by_setting = {(each.side_a.d_sae, each.rule, each.direction, len(each.funnel)): each for each in results}
    for row in rows[:1]:
        before, after = (by_setting[768, "max_correlation", "a_to_b", n] for n in (1, 2))
        entry = next(each for each in after.similarity if each["metric"] == "svcca_pc1")
        assert row[3:9] == [
            str(before.n_kept),
            f"{before.similarity[0]['score']:.3f}",
            str(after.n_kept),
            f"{entry['score']:.3f}",
            f"{entry['null_mean']:.3f}",
            f"{entry['p_value']:.3f}",
        ]
    assert "before 0.84" in table  # what the paper prints for 8 features a dimension
