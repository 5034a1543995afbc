"""The worked examples of CONTRIBUTING.md do what they say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from analogue.saes import formats

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent


def blocks(heading, language):
    """The blocks of code in a section."""
    section = (REPOSITORY / "CONTRIBUTING.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Run the only block of Python in a section; returns its names."""
    monkeypatch.chdir(tmp_path)

    def run(heading):
        (code,) = blocks(heading, "python")
        names = {}
        exec(code, names)
        return names

    return run


def test_a_metric(example):
    names = example("Add a metric")
    scores = names["comparison"].scores.set_index("metric")
    assert scores.p_value["predictivity"] == pytest.approx(1 / 21)
    assert scores.null_mean["predictivity"] < scores.score["predictivity"] < 1
    x = np.random.default_rng(0).standard_normal((50, 3))
    assert names["predictivity"](x, 2 * x + 5) == pytest.approx(1)


def test_a_pairing_rule(example):
    comparison = example("Add a pairing rule")["comparison"]
    pairs = comparison.pairs
    assert comparison.record.rule == "clear_partner"
    assert 0 < (pairs.dropped_by == "clear_partner").sum() < len(pairs)
    assert comparison.record.n_kept > 10


def test_an_sae_format(example, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", formats.FORMATS)
    names = example("Add an SAE format")
    read = torch.randn(7, 96, generator=torch.Generator().manual_seed(0))
    expected = torch.relu(read @ torch.from_numpy(names["enc"]) - 9)
    torch.testing.assert_close(names["sae"].encode(read), expected)
    assert (expected > 0).any()
    torch.testing.assert_close(names["sae"].W_dec, torch.from_numpy(names["dec"].T.copy()))


def test_a_model_site(tmp_path):
    for folder in ("src", "conf"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (change,) = blocks("Add a model site", "diff")
    applied = subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=change, capture_output=True, text=True)
    assert applied.returncode == 0, applied.stderr
    (code,) = blocks("Add a model site", "python")
    code += "print([side.hook_point for side in (comparison.record.side_a, comparison.record.side_b)])\n"
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'src')!r})\n{code}"
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("attn_in") == 2
