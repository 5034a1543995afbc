"""The quick steps are SAELens's steps, losses and gradients."""

import copy

import pytest
import torch
from sae_lens.saes.sae import TrainStepInput

from analogue.training.steps import can_step_directly, can_step_sparsely, standard_step, topk_step
from tests.devices import DEVICES
from tests.training.conftest import sae_of


def shaken(sae, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return sae, generator


def assert_same_step(sae, quick, sae_in, coefficients, dead, device):
    sae, step = sae.to(device), TrainStepInput(sae_in.to(device), coefficients, dead.to(device), 0, False)
    other = copy.deepcopy(sae)
    expected, found = sae.training_forward_pass(step), quick(other, step)
    expected.loss.backward()
    found.loss.backward()
    assert found.losses.keys() == expected.losses.keys()
    for name, value in expected.losses.items():
        torch.testing.assert_close(found.losses[name], value)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.feature_acts, expected.feature_acts)
    torch.testing.assert_close(found.sae_out, expected.sae_out)
    for one, reference in zip(other.parameters(), sae.parameters(), strict=True):
        torch.testing.assert_close(one.grad, reference.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n_dead", [0, 3, 30])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_sparse_topk(n_dead, rescale, centred, device):
    made = sae_of("topk", k=5, rescale_acts_by_decoder_norm=rescale, apply_b_dec_to_input=centred)
    sae, generator = shaken(made, n_dead)
    dead = torch.zeros(48, dtype=torch.bool)
    dead[torch.randperm(48, generator=generator)[:n_dead]] = True
    assert_same_step(sae, topk_step, torch.randn(40, 12, generator=generator), {}, dead, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("coefficient", [0.0, 0.7])
@pytest.mark.parametrize("centred", [True, False])
def test_direct_standard(coefficient, centred, device):
    sae, generator = shaken(sae_of("standard", apply_b_dec_to_input=centred), 1)
    dead = torch.zeros(48, dtype=torch.bool)
    assert_same_step(sae, standard_step, torch.randn(40, 12, generator=generator), {"l1": coefficient}, dead, device)


def test_other_saes_take_their_own_step():
    assert can_step_sparsely(sae_of("topk", k=5))
    assert not can_step_sparsely(sae_of("batchtopk", k=5))
    assert not can_step_sparsely(sae_of("topk", k=5).double())
    assert can_step_directly(sae_of("standard"))
    assert not can_step_directly(sae_of("standard", lp_norm=2.0))
    assert not can_step_directly(sae_of("gated"))
