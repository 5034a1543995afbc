"""Nulls of a job on a GPU run there, and its record is that of the CPU."""

import numpy as np
import pytest
import torch

from analogue.comparison import scoring
from analogue.similarity import METRICS
from tests.devices import needs_cuda

pytestmark = needs_cuda


@pytest.mark.parametrize(("worth_gpu", "kind"), [(0, torch.Tensor), (10**6, np.ndarray)], ids=["many", "few"])
def test_a_record_made_on_a_gpu_is_that_of_the_cpu(compare, monkeypatch, worth_gpu, kind):
    kinds, score_against_null = [], scoring.score_against_null
    monkeypatch.setattr(scoring, "_WORTH_GPU", worth_gpu)
    monkeypatch.setattr(
        scoring, "score_against_null", lambda x, *rest: kinds.append(type(x)) or score_against_null(x, *rest)
    )
    # With more components than pairs canonical correlations coincide, and the weights of pwcca are not unique.
    names = ",".join(name for name in METRICS if not name.startswith("pwcca"))
    asked = (f"metrics=[{names}]", "null.kinds=[shuffle,random_pairs]")
    on_cpu = compare(*asked)
    on_gpu = compare(*asked, "trainer.accelerator=gpu")
    assert (kinds, on_gpu.n_model_passes) == ([np.ndarray, kind], 0)
    for found, expected in zip(on_gpu.similarity, on_cpu.similarity, strict=True):
        for key, value in expected.items():
            a_number = isinstance(value, float) or key == "null_interval"
            assert found[key] == (pytest.approx(value, 1e-5, 1e-6) if a_number else value), (
                expected["metric"],
                expected["null"],
                key,
            )
