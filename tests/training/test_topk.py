"""The sparse step is SAELens's step, losses and gradients."""

import copy

import pytest
import torch
from sae_lens.saes.sae import TrainStepInput

from analogue.training.topk import can_step_sparsely, topk_step
from tests.training.conftest import sae_of


@pytest.mark.parametrize("n_dead", [0, 3, 30])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_losses_and_gradients_equal_the_dense_ones(n_dead, rescale, centred):
    generator = torch.Generator().manual_seed(n_dead)
    sae = sae_of("topk", k=5, rescale_acts_by_decoder_norm=rescale, apply_b_dec_to_input=centred)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    other = copy.deepcopy(sae)
    dead = torch.zeros(48, dtype=torch.bool)
    dead[torch.randperm(48, generator=generator)[:n_dead]] = True
    step = TrainStepInput(torch.randn(40, 12, generator=generator), {}, dead, 0, False)
    dense, sparse = sae.training_forward_pass(step), topk_step(other, step)
    dense.loss.backward()
    sparse.loss.backward()
    for name, value in dense.losses.items():
        torch.testing.assert_close(sparse.losses[name], value)
    torch.testing.assert_close(sparse.feature_acts, dense.feature_acts)
    for found, expected in zip(other.parameters(), sae.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5)


def test_only_plain_topk_in_float32_is_stepped_sparsely():
    assert can_step_sparsely(sae_of("topk", k=5))
    assert not can_step_sparsely(sae_of("batchtopk", k=5))
    assert not can_step_sparsely(sae_of("topk", k=5).double())
