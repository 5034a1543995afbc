"""What `benchmarks.matching` measures: its cases, and the plain dense method they are compared with."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from analogue.features import FeatureActivations
from benchmarks.clock import now

FREQUENCY_EXPONENT = -0.7
DENSE_WIDTH, DEVICE_WIDTH, DENSE_TOKENS = 2048, 32_768, 30_000
N_CAUSES = 512


class Case(NamedTuple):
    """One size to measure."""

    n_tokens: int
    d_sae: int
    l0: int


SPARSE = [Case(30_000, 32_768, 32), Case(30_000, 32_768, 80)]
LARGE = Case(1_000_000, 131_072, 50)
DENSE = Case(30_000, 4096, 2048)


def draw_activations(case: Case, rng: np.random.Generator) -> FeatureActivations:
    """Independent activations with power-law firing frequencies that sum to L0, in random feature order."""
    frequency = np.arange(1, case.d_sae + 1) ** FREQUENCY_EXPONENT
    frequency = rng.permutation(np.minimum(frequency * case.l0 / frequency.sum(), 0.95))
    # Poisson draws of this rate hit a (token, feature) at least once with the wanted probability.
    rate = -np.log1p(-frequency)
    n_draws = rng.poisson(case.n_tokens * rate.sum())
    features = np.searchsorted(np.cumsum(rate)[:-1] / rate.sum(), rng.random(n_draws))
    entries = np.unique(rng.integers(0, case.n_tokens, n_draws) * case.d_sae + features)
    indptr = np.searchsorted(entries, np.arange(case.n_tokens + 1) * case.d_sae)
    values = rng.exponential(size=len(entries)).astype(np.float32) + np.float32(0.05)
    return FeatureActivations(indptr, (entries % case.d_sae).astype(np.int32), values, case.d_sae)


def draw_dense(case: Case, rng: np.random.Generator, related: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Off-centre float32 activations; if related, each feature of A shares its cause with 8 of B, at r = 0.5."""
    sides = rng.standard_normal((2, case.n_tokens, case.d_sae), dtype=np.float32)
    if related:
        causes = rng.standard_normal((case.n_tokens, N_CAUSES), dtype=np.float32)
        sides += np.tile(causes, case.d_sae // N_CAUSES)
    sides += rng.standard_normal((2, 1, case.d_sae), dtype=np.float32)
    return torch.from_numpy(sides[0]), torch.from_numpy(sides[1])


def plain_dense_seconds(case: Case, rng: np.random.Generator) -> float:
    """Seconds of the plain dense method (z-score, GEMM, argmax), in float32 NumPy, as the published code has it.

    Timed on at most `DENSE_WIDTH` features a side and `DENSE_TOKENS` tokens, and scaled: the z-scores by width, the
    product and the maximum by its square, both by tokens.
    """
    width, n_tokens = min(case.d_sae, DENSE_WIDTH), min(case.n_tokens, DENSE_TOKENS)
    a, b = (rng.random((n_tokens, width), dtype=np.float32) for _ in range(2))
    start = time.perf_counter()
    a, b = _z_score(a), _z_score(b)
    scored = time.perf_counter()
    (a.T @ b / np.float32(n_tokens)).argmax(axis=1)
    end = time.perf_counter()
    ratio = case.d_sae / width
    return ((scored - start) * ratio + (end - scored) * ratio**2) * case.n_tokens / n_tokens


def plain_dense_on_device(case: Case) -> float:
    """The same on a CUDA device, in float32 torch, timed on at most `DEVICE_WIDTH` features and scaled likewise."""
    width, n_tokens = min(case.d_sae, DEVICE_WIDTH), min(case.n_tokens, DENSE_TOKENS)
    a, b = (torch.rand((n_tokens, width), device="cuda") for _ in range(2))
    _device_seconds(lambda: (a[:, :512].T @ b[:, :512]).argmax(dim=1))  # the first call loads kernels
    scored = _device_seconds(lambda: [side.sub_(side.mean(0)).div_(side.std(0, correction=0)) for side in (a, b)])
    multiplied = _device_seconds(lambda: (a.T @ b / n_tokens).argmax(dim=1))
    ratio = case.d_sae / width
    return (scored * ratio + multiplied * ratio**2) * case.n_tokens / n_tokens


def _device_seconds(call: Callable[[], object]) -> float:
    start = now()
    call()
    return now() - start


def _z_score(acts: np.ndarray) -> np.ndarray:
    return (acts - acts.mean(axis=0)) / acts.std(axis=0)
