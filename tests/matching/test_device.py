"""The sparse problem in tiles on a torch device, against the compiled walk and a plain dense computation."""

import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, best_partners
from analogue.matching.device import rank_both_in_tiles, rank_partners_in_tiles
from analogue.matching.operands import prepare
from tests.devices import DEVICES
from tests.matching.test_best_partners import SHAPES, assert_best, dense_correlations, random_activations


def draw(shape: tuple[int, int, int], density: float, dtype: type) -> list[np.ndarray]:
    n, d_a, d_b = shape
    rng = np.random.default_rng([n, d_a, d_b])
    return [random_activations(rng, n, d, density, dtype) for d in (d_a, d_b)]


def assert_same(found: BestPartners, expected: BestPartners) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.correlations, expected.correlations, rtol=0, atol=2e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0.01, 0.3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_agrees_with_the_walk_and_with_dense(device: str, shape, density: float, dtype: type) -> None:
    a, b = draw(shape, density, dtype)
    acts_a, acts_b = FeatureActivations.from_dense(a), FeatureActivations.from_dense(b)
    corr = dense_correlations(a, b)
    for k in (1, 4, shape[2] + 2):
        walked = best_partners(acts_a, acts_b, k, direction="both", engine="walk")
        tiled = best_partners(acts_a, acts_b, k, direction="both", engine="tiles", device=device)
        assert_best(tiled[0], corr, np.arange(shape[2]), b, k)
        assert_best(tiled[1], corr.T, np.arange(shape[1]), a, k)
        for found, expected in zip(tiled, walked, strict=True):
            assert_same(found, expected)
        assert_same(best_partners(acts_a, acts_b, k, engine="tiles", device=device), walked[0])
        assert_same(best_partners(acts_a, acts_b, k, direction="b_to_a", engine="tiles", device=device), walked[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tile_bytes", [1, 30_000, None])
def test_the_width_of_a_tile_does_not_matter(device: str, tile_bytes: int | None) -> None:
    a, b = (prepare(FeatureActivations.from_dense(side)) for side in draw((60, 40, 90), 0.1, np.float32))
    expected = rank_both_in_tiles(a, b, 3, "cpu", 2**30)
    found = rank_both_in_tiles(a, b, 3, device, tile_bytes)
    one_way = rank_partners_in_tiles(a, b, 3, device, tile_bytes)
    for ranking, reference in [*zip(found, expected, strict=True), (one_way, expected[0])]:
        np.testing.assert_array_equal(ranking.partners, reference.partners)
        np.testing.assert_allclose(ranking.correlations, reference.correlations, rtol=0, atol=2e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_subsets(device: str) -> None:
    acts = [FeatureActivations.from_dense(side) for side in draw((80, 30, 40), 0.1, np.float32)]
    subsets = {"subset_a": [7, 3, 29, 3, 0, 12], "subset_b": np.array([5, 39, 1, 2, 17])}
    walked = best_partners(*acts, 3, direction="both", engine="walk", **subsets)
    tiled = best_partners(*acts, 3, direction="both", engine="tiles", device=device, **subsets)
    for found, expected in zip(tiled, walked, strict=True):
        assert_same(found, expected)


def test_nobody_to_pair() -> None:
    for side in (np.zeros((4, 3)), np.ones((1, 3)), np.zeros((0, 3))):
        acts = FeatureActivations.from_dense(side)
        for found in best_partners(acts, acts, 2, direction="both", engine="tiles"):
            assert (found.indices == -1).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("subset", [None, [5, 2, 2, 30]])
def test_the_dense_engine_agrees_too_with_zeros_filled_in_there(device: str, subset) -> None:
    a, b = (FeatureActivations.from_dense(side) for side in draw((60, 40, 90), 0.3, np.float32))
    walked = best_partners(a, b, 3, direction="both", subset_a=subset, engine="walk")
    filled = best_partners(a, b, 3, direction="both", subset_a=subset, engine="dense", device=device)
    for found, expected in zip(filled, walked, strict=True):
        assert_same(found, expected)
