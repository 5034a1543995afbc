"""Two streams whose relation is known; scales, means and an outlier break every symmetry."""

import numpy as np
import torch


def streams(n=400, d_x=6, d_y=9, noise=0.3, seed=0):
    """x and y = x W + shift + noise, with means, unequal scales and one token far off."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d_x)) * np.geomspace(0.1, 30, d_x) + rng.standard_normal(d_x) * 5
    x[7] *= 40
    y = x @ rng.standard_normal((d_x, d_y)) + rng.standard_normal(d_y) * 3 + noise * rng.standard_normal((n, d_y))
    return torch.from_numpy(x), torch.from_numpy(y)


def rotated(x, d_y, scale=1.7, seed=1):
    """x in other axes, of another scale and about another mean."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((max(d_y, x.shape[1]),) * 2))[0][: x.shape[1], :d_y]
    return scale * x @ torch.from_numpy(basis) + torch.from_numpy(rng.standard_normal(d_y) * 4)
