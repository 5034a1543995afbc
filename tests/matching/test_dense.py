"""The dense engine against a plain dense float64 computation."""

import numpy as np
import pytest
import torch

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, Standardised
from analogue.matching.dense import Tiles, candidate_pairs, dense_chunk, error_bound, fill_on_device, multiply
from tests.devices import DEVICES, needs_cuda
from tests.matching.test_best_partners import assert_best, dense_correlations

SHAPES = [(1, 3, 4), (2, 5, 5), (7, 1, 6), (40, 30, 1), (90, 70, 50), (300, 40, 130)]
CPU = torch.device("cpu")


def related_activations(rng: np.random.Generator, n: int, d_a: int, d_b: int, noise: float = 1.0) -> list[np.ndarray]:
    """Two sides that read the same 8 causes, off-centre, of mixed scales, with constant features and duplicates."""
    causes = rng.standard_normal((n, 8))
    sides = []
    for d in (d_a, d_b):
        acts = causes @ rng.standard_normal((8, d)) + noise * rng.standard_normal((n, d))
        acts = (acts + 3 * rng.standard_normal(d)) * 10.0 ** rng.integers(-2, 3, d)
        acts[:, rng.random(d) < 0.1] = 0.3
        sides.append(np.where(rng.random(d) < 0.2, acts[:, rng.integers(0, d, d)], acts))
    return sides


def independent_activations(rng: np.random.Generator, n: int, d_a: int, d_b: int) -> list[np.ndarray]:
    """No feature has a partner: the hardest case for rounded tiles."""
    return [rng.standard_normal((n, d)) for d in (d_a, d_b)]


def nearly_always_active(rng: np.random.Generator, n: int, d_a: int, d_b: int) -> list[np.ndarray]:
    """Silent on one token, and far off zero on all others: all but one value cancel against the mean."""
    sides = [1e4 + rng.standard_normal((n, d)) for d in (d_a, d_b)]
    for side in sides:
        side[rng.integers(0, n, side.shape[1]), np.arange(side.shape[1])] = 0
    return sides


def prepared(*sides: np.ndarray) -> list[Standardised]:
    return [Standardised.of(FeatureActivations.from_dense(side)) for side in sides]


def find(a: np.ndarray, b: np.ndarray, k: int = 1, both: bool = True, device: torch.device = CPU, **settings):
    return multiply(*prepared(a, b), k, both, 2, device, **settings)


def assert_both(found: tuple[BestPartners, BestPartners | None], a: np.ndarray, b: np.ndarray, k: int) -> None:
    corr = dense_correlations(a, b)
    assert_best(found[0], corr, np.arange(b.shape[1]), b, k)
    assert found[1] is not None
    assert_best(found[1], corr.T, np.arange(a.shape[1]), a, k)


def tiles(a: Standardised, b: Standardised, pool) -> Tiles:
    return Tiles(a, b, CPU, 2**30, pool)


class Serial:
    """An executor without threads."""

    map = staticmethod(map)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("draw", [related_activations, independent_activations, nearly_always_active])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_agrees_with_dense(device, draw, shape: tuple[int, int, int], tf32: bool, dtype: type, monkeypatch) -> None:
    monkeypatch.setattr("analogue.matching.dense._CHUNK", 37 * max(shape[1:]))
    a, b = (side.astype(dtype) for side in draw(np.random.default_rng(shape), *shape))
    for k in (1, 3, shape[2] + 2):
        assert_both(find(a, b, k, device=torch.device(device), tf32=tf32), a, b, k)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("k", [1, 4])
def test_tiles_chunks_and_directions_do_not_matter(device, tf32: bool, k: int, monkeypatch) -> None:
    a, b = (side.astype(np.float32) for side in related_activations(np.random.default_rng(1), 150, 61, 47))
    settings = {"device": torch.device(device), "tf32": tf32}
    whole = find(a, b, k, **settings)
    assert_both(whole, a, b, k)
    for size, tile_bytes in ((80, 1), (40, 5000), (1, 2**30)):
        monkeypatch.setattr("analogue.matching.dense._CHUNK", 61 * size)
        both = find(a, b, k, tile_bytes=tile_bytes, **settings)
        one_way, nobody = find(a, b, k, both=False, tile_bytes=tile_bytes, **settings)
        back, _ = find(b, a, k, both=False, tile_bytes=tile_bytes, **settings)
        assert nobody is None
        for expected, got in [(whole[0], both[0]), (whole[1], both[1]), (whole[0], one_way), (whole[1], back)]:
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_array_equal(got.correlations, expected.correlations)


@pytest.mark.parametrize("tf32", [False, True])
def test_large_means_keep_their_digits(tf32: bool) -> None:
    """Means of 10^6 standard deviations: float32 holds 4 bits of the deviations, and centring must not lose one."""
    rng = np.random.default_rng(3)
    causes = rng.standard_normal((400, 3))
    a, b = (
        (1e4 + 0.01 * (causes @ rng.standard_normal((3, d)) + rng.standard_normal((400, d)))).astype(np.float32)
        for d in (12, 9)
    )
    assert_both(find(a, b, 9, tf32=tf32), a, b, 9)


@pytest.mark.parametrize("draw", [related_activations, independent_activations, nearly_always_active])
def test_tiles_err_less_than_their_bound(draw) -> None:
    a, b = (side.astype(np.float32) for side in draw(np.random.default_rng(4), 2000, 60, 70))
    one, other = prepared(a, b)
    rough = tiles(one, other, Serial()).tile(slice(None), tf32=False)
    exact = dense_correlations(a, b)[np.ix_(one.labels, other.labels)]
    assert np.abs(rough.double().numpy() - exact).max() < error_bound(2000, tf32=False) < error_bound(2000, tf32=True)


@needs_cuda
@pytest.mark.parametrize("draw", [related_activations, independent_activations])
def test_tf32_errs_less_than_its_bound_but_more_than_float32(draw) -> None:
    a, b = (side.astype(np.float32) for side in draw(np.random.default_rng(4), 2000, 60, 70))
    one, other = prepared(a, b)
    rough = Tiles(one, other, torch.device("cuda"), 2**30, Serial()).tile(slice(None), tf32=True)
    exact = dense_correlations(a, b)[np.ix_(one.labels, other.labels)]
    error = np.abs(rough.double().cpu().numpy() - exact).max()
    assert error_bound(2000, tf32=False) < error < error_bound(2000, tf32=True)


def test_rounded_tiles_need_few_candidates_where_partners_stand_out() -> None:
    causes = np.random.default_rng(5).standard_normal((3000, 200))
    sides = prepared(*(causes + 0.5 * np.random.default_rng(seed).standard_normal((3000, 200)) for seed in (6, 7)))
    pairs = candidate_pairs(tiles(*sides, Serial()), k=1, both=True, tf32=True)
    assert [side.labels[labels].tolist() for side, labels in zip(sides, pairs, strict=True)] == [list(range(200))] * 2


@pytest.mark.parametrize("tf32", [False, True])
def test_a_tile_fits_its_memory_twice(tf32: bool, monkeypatch) -> None:
    passes = []
    monkeypatch.setattr("analogue.matching.dense.dense_chunk", lambda *a, **k: passes.append(k) or dense_chunk(*a, **k))
    sides = related_activations(np.random.default_rng(13), 30, 40, 50)
    for side in sides:
        side += np.linspace(0, 1, 30)[:, None]  # nobody is constant
    find(*sides, 50, both=False, tf32=tf32, tile_bytes=2 * 4 * 50 * 8)
    assert len(passes) == 2 * 5  # both sides for each tile


def test_ties_go_to_the_lowest_feature_in_every_tile() -> None:
    """Far more equal partners than a rounded tile may list."""
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((50, 3)).astype(np.float32), np.zeros((50, 400), dtype=np.float32)
    b[:, 100:] = a[:, [1]] * np.float32(0.5)
    for tf32 in (False, True):
        forward, reverse = find(a, b, 4, tf32=tf32)
        assert (forward.indices == [100, 101, 102, 103]).all()
        assert (forward.correlations[1] == 1.0).all()
        assert (reverse.indices[:100] == -1).all()
        assert (reverse.indices[100:, 0] == 1).all()


def test_nobody_to_pair() -> None:
    for a, b in ((np.ones((5, 3)), np.eye(5)), (np.eye(5), np.ones((5, 2))), (np.eye(1), np.eye(1))):
        for found in find(a, b, 2):
            assert (found.indices == -1).all()
            assert np.isnan(found.correlations).all()


def test_matmul_settings_are_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        find(np.eye(4), np.eye(4), tf32=True)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("draw", [related_activations, nearly_always_active])
def test_zeros_are_filled_in_alike_on_any_device(draw, monkeypatch) -> None:
    """The compiled code for the CPU and torch's for other devices, both run here."""
    (side,) = prepared(np.random.default_rng(12).permutation(draw(np.random.default_rng(12), 50, 30, 9)[0]))
    compiled = dense_chunk(side, 7, 40, CPU)
    monkeypatch.setattr("analogue.matching.dense.fill_on_cpu", fill_on_device)
    torch.testing.assert_close(dense_chunk(side, 7, 40, CPU), compiled, rtol=1e-7, atol=0)
    x = side.acts.toarray().astype(np.float64)[:, side.labels]
    expected = ((x - x.mean(0)) / np.linalg.norm(x - x.mean(0), axis=0))[7:40]
    np.testing.assert_allclose(compiled.numpy(), expected, rtol=1e-6, atol=1e-9)
