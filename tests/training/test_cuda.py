"""Training on a CUDA device is training on the CPU, sooner."""

import pytest
import torch
from sae_lens import SAE

from analogue.models import open_model
from analogue.training.source import ModelSource
from analogue.training.stream import ActivationStream, MixingPlan
from tests.devices import needs_cuda
from tests.training.test_run import assert_equal_weights, weights_under
from tests.training.test_stream import ids_and_mask

pytestmark = needs_cuda
CUDA = torch.device("cuda")
ON_GPU = ("trainer.accelerator=gpu", "float32_matmul_precision=highest", "seeds=[0]", "expansion_factor=[4]")


def stream_on(device):
    ids, mask = ids_and_mask()
    source = ModelSource(open_model("embedded:stories-6").load().to(device), ids, mask, mask, [1, 3])
    plan = MixingPlan(source.lengths, batch_tokens=16, buffer_tokens=100, sequences_per_pass=4, seed=0)
    return ActivationStream(plan, source, [1, 3], 60)


def test_the_device_reads_what_the_cpu_reads():
    for found, expected in zip(stream_on(CUDA), stream_on(torch.device("cpu")), strict=True):
        torch.testing.assert_close({layer: acts.cpu() for layer, acts in found.items()}, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["topk", "standard", "batchtopk", "jumprelu", "gated", "matryoshka"])
def test_every_architecture_trains_to_what_the_cpu_makes_of_it(train, tmp_path, architecture):
    settings = (f"sae={architecture}", *ON_GPU)
    on_cpu = train(*settings, "trainer.accelerator=cpu", f"output_dir={tmp_path}/cpu")[0].quality
    for precision, tolerance in (("32-true", 0.01), ("bf16-mixed", 0.05)):
        output = tmp_path / precision
        found = train(*settings, f"trainer.precision={precision}", f"output_dir={output}")[0].quality
        assert found.explained_variance == pytest.approx(on_cpu.explained_variance, abs=tolerance)
        assert found.l0 == pytest.approx(on_cpu.l0, rel=0.1)
        sae = SAE.load_from_disk(output / "layer_3")
        assert sae.cfg.device == "cpu"
        assert all(bool(weights.isfinite().all()) for weights in sae.parameters())


def test_going_on_from_a_checkpoint_gives_the_weights_of_a_run_without_a_break(train, tmp_path):
    keeps = ("checkpoints.keep=10", *ON_GPU, "sae=standard")
    train(*keeps, f"output_dir={tmp_path}/whole")
    steps = sorted((tmp_path / "whole" / "checkpoints").glob("*.ckpt"))
    train(*keeps, f"output_dir={tmp_path}/resumed", f"ckpt_path='{steps[len(steps) // 2]}'")
    assert_equal_weights(weights_under(tmp_path / "resumed"), weights_under(tmp_path / "whole"))


def test_cached_activations_train_as_live_ones(train, tmp_path):
    live = train(*ON_GPU, f"output_dir={tmp_path}/live")[0].quality
    cached = train(*ON_GPU, "data.activations=cached", f"data.cache_dir={tmp_path}/cache")[0].quality
    assert cached.explained_variance == pytest.approx(live.explained_variance, abs=1e-3)
