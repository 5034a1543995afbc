"""A comparison on a CUDA device is the comparison on the CPU."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.devices import needs_cuda

pytestmark = needs_cuda


@pytest.mark.parametrize("overrides", [(), ("sae_a.before_topk=true", "sae_b.before_topk=true")], ids=["topk", "dense"])
def test_pairs_and_scores_are_those_of_the_cpu(compare, tmp_path, overrides):
    results, tables = [], []
    for accelerator in ("cpu", "gpu"):
        given = (f"trainer.accelerator={accelerator}", f"output_dir={tmp_path}/{accelerator}", "cache=off", *overrides)
        results.append(compare(*given))
        tables.append(pq.read_table(tmp_path / accelerator / "pairs.parquet").to_pandas())
    on_cpu, on_gpu = tables
    both = on_cpu.merge(on_gpu, on=["feature_a", "feature_b"])
    assert len(both) > 0.99 * max(len(on_cpu), len(on_gpu))  # float32 rounds otherwise there: a few near ties turn
    np.testing.assert_allclose(both["correlation_x"], both["correlation_y"], atol=1e-3)
    assert np.mean(both["kept_x"] == both["kept_y"]) > 0.99
    for expected, found in zip(results[0].similarity, results[1].similarity, strict=True):
        assert found["score"] == pytest.approx(expected["score"], abs=0.02)
    assert results[1].side_a.explained_variance == pytest.approx(results[0].side_a.explained_variance, abs=1e-4)


def test_a_store_filled_on_the_device_serves_the_cpu(compare, tmp_path):
    first = compare("trainer.accelerator=gpu", f"cache.dir={tmp_path}/cache")
    second = compare(f"cache.dir={tmp_path}/cache")
    assert (first.n_model_passes, second.n_model_passes) == (2, 0)
    for expected, found in zip(first.similarity, second.similarity, strict=True):
        assert found["score"] == pytest.approx(expected["score"], abs=1e-6)
        assert found["null_mean"] == pytest.approx(expected["null_mean"], abs=1e-6)


def test_a_model_spread_by_its_device_map(compare):
    spread = compare("trainer.accelerator=gpu", "cache=off", "model_a.device_map=auto")
    whole = compare("trainer.accelerator=gpu", "cache=off")
    assert spread.side_a.explained_variance == pytest.approx(whole.side_a.explained_variance, abs=1e-5)
