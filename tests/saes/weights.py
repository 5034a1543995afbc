"""Weights and inputs that break every symmetry: decoder norms other than 1, biases, a mean, an outlier token."""

from typing import NamedTuple

import torch
from torch import Tensor

D_IN, D_SAE = 12, 40


class Weights(NamedTuple):
    w_enc: Tensor
    """(d_in, d_sae)"""
    b_enc: Tensor
    w_dec: Tensor
    """(d_sae, d_out)"""
    b_dec: Tensor
    threshold: Tensor
    w_skip: Tensor
    """(d_in, d_out)"""


def random_weights(d_in=D_IN, d_sae=D_SAE, d_out=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    d_out = d_out or d_in
    norms = 0.5 + 1.5 * torch.rand(d_sae, 1, generator=generator)
    rows = torch.nn.functional.normalize(torch.randn(d_sae, d_out, generator=generator), dim=1)
    return Weights(
        w_enc=torch.randn(d_in, d_sae, generator=generator) * d_in**-0.5,
        b_enc=0.3 * torch.randn(d_sae, generator=generator),
        w_dec=norms * rows,
        b_dec=0.5 * torch.randn(d_out, generator=generator),
        threshold=0.2 + torch.rand(d_sae, generator=generator),
        w_skip=0.3 * torch.randn(d_in, d_out, generator=generator),
    )


def random_resid(d_in=D_IN, n_tokens=60):
    resid = 2 * torch.randn(n_tokens, d_in, generator=torch.Generator().manual_seed(5)) + 0.7
    resid[0] *= 100
    return resid


def topk(pre, k):
    """All but the k highest of each row set to zero, and what is negative."""
    lowest = pre.sort(dim=1, descending=True).values[:, k - 1 : k]
    return torch.where(pre >= lowest, pre, 0.0).relu()


def jumprelu(pre, threshold):
    return torch.where(pre > threshold, pre, 0.0).relu()


def check(sae, acts, w_dec, decoded=None, atol=1e-5, resid=None):
    """That an SAE's activations, decoder rows and reconstruction are those of a formula, some of them not zero."""
    resid = random_resid(sae.cfg.d_in) if resid is None else resid
    torch.testing.assert_close(sae.encode(resid), acts, atol=atol, rtol=1e-5)
    torch.testing.assert_close(sae.W_dec, w_dec, atol=atol, rtol=1e-5)
    if decoded is not None:
        torch.testing.assert_close(sae.decode(acts), decoded, atol=atol, rtol=1e-5)
    assert 0.02 < (acts > 0).float().mean() < 0.9
