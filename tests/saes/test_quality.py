import math

import numpy as np
import pytest
import torch

from analogue.saes import ReconstructionQuality


def imperfect_reconstruction(seed=0):
    """Input with a large mean and uneven scales; a reconstruction with noise and a bias."""
    generator = torch.Generator().manual_seed(seed)
    resid = torch.randn(200, 5, generator=generator) * torch.tensor([1.0, 2, 3, 4, 5]) + 30
    reconstruction = resid + 0.5 * torch.randn(200, 5, generator=generator) + 0.3
    acts = torch.rand(200, 8, generator=generator).relu() * (torch.rand(200, 8, generator=generator) < 0.3)
    acts[:, 6] = 0
    return resid, reconstruction, acts


def test_explained_variance_l0_and_dead_features_follow_their_definitions():
    resid, reconstruction, acts = imperfect_reconstruction()
    metric = ReconstructionQuality(5, 8)
    metric.update(resid, reconstruction, acts)
    quality = metric.compute()
    x, x_hat = resid.double().numpy(), reconstruction.double().numpy()
    expected = 1 - np.square(x - x_hat).sum() / np.square(x - x.mean(0)).sum()
    assert quality.explained_variance == pytest.approx(expected, abs=1e-9)
    assert quality.l0 == pytest.approx((acts != 0).sum().item() / 200)
    assert quality.dead_fraction == pytest.approx(1 / 8)


def test_batches_and_their_order_do_not_matter():
    resid, reconstruction, acts = imperfect_reconstruction()
    whole, parts = ReconstructionQuality(5, 8), ReconstructionQuality(5, 8)
    whole.update(resid, reconstruction, acts)
    for rows in (slice(150, 200), slice(0, 1), slice(1, 150)):
        parts.update(resid[rows], reconstruction[rows], acts[rows])
    assert parts.compute() == pytest.approx(whole.compute(), abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 7.7, 1e6 + 0.1])
@pytest.mark.parametrize("n_tokens", [3, 1000])
def test_input_that_does_not_vary_has_no_explained_variance(value, n_tokens):
    metric = ReconstructionQuality(5, 8)
    metric.update(torch.full((n_tokens, 5), value), torch.ones(n_tokens, 5), torch.ones(n_tokens, 8))
    assert math.isnan(metric.compute().explained_variance)
