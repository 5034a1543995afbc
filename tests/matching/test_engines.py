"""Which engine "auto" takes, and that the dense engine gives the walk's result to the last bit, on any device."""

import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, best_partners, best_partners_of_slice
from analogue.matching.partners import chosen_engine, share_of_products
from tests.devices import DEVICES
from tests.matching.test_best_partners import SHAPES, random_activations


def activations(*density: float, n: int = 60, d: int = 50) -> list[FeatureActivations]:
    """A fourth of the features never fire."""
    rng = np.random.default_rng(2)
    alive = np.arange(d) % 4 > 0
    return [FeatureActivations.from_dense((rng.random((n, d)) < each) * alive * rng.random((n, d))) for each in density]


def assert_same(found: BestPartners, expected: BestPartners) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.correlations, expected.correlations)


def test_the_share_of_products_counts_features_that_ever_fire() -> None:
    acts_a, acts_b = activations(0.3, 0.1)
    a, b = (acts.to_scipy().toarray() != 0 for acts in (acts_a, acts_b))
    a, b = a[:, a.any(axis=0)], b[:, b.any(axis=0)]
    assert share_of_products(acts_a, acts_b) == pytest.approx(np.einsum("ti,tj->ij", a, b, dtype=float).mean() / len(a))
    for nothing in (np.zeros((3, 4)), np.zeros((0, 4))):
        assert share_of_products(*[FeatureActivations.from_dense(nothing)] * 2) == 0


def test_the_engine_is_chosen_by_density_and_device_and_can_be_forced() -> None:
    sparse, dense, mixed = activations(0.05, 0.05), activations(0.5, 0.5), activations(0.01, 0.9)
    sparser = activations(0.003, 0.003, n=1000, d=200)
    for acts in (sparser, sparse, dense, mixed):
        for engine in ("walk", "dense"):
            assert chosen_engine(*acts, engine, None) == chosen_engine(*acts, engine, "cuda") == engine
    assert chosen_engine(*dense, "auto", "cpu") == chosen_engine(*dense, "auto", "cuda:1") == "dense"
    for acts in (sparse, mixed):
        assert chosen_engine(*acts, "auto", "cpu") == "walk"
        assert chosen_engine(*acts, "auto", "cuda:1") == "dense"
    assert chosen_engine(*sparser, "auto", "cpu") == "walk"
    assert chosen_engine(*sparser, "auto", "cuda:1") == chosen_engine(*sparser, "auto", None) == "walk"
    with pytest.raises(ValueError, match=r"engine=gpu: is not an option; .*dense"):
        best_partners(*sparse, engine="gpu")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("k", [1, 4])
def test_the_dense_engine_finds_what_the_walk_finds(device, shape, density: float, dtype: type, k: int, monkeypatch):
    monkeypatch.setattr("analogue.matching.dense._CHUNK", 7 * max(shape[1:]))
    monkeypatch.setattr("analogue.matching.dense._TRANSPOSED", 11)
    n, d_a, d_b = shape
    rng = np.random.default_rng([n, d_a])
    sides = [FeatureActivations.from_dense(random_activations(rng, n, d, density, dtype)) for d in (d_a, d_b)]
    walked = best_partners(*sides, k, direction="both", engine="walk")
    both = best_partners(*sides, k, direction="both", engine="dense", device=device)
    for found, expected in zip(both, walked, strict=True):
        assert_same(found, expected)
    assert_same(best_partners(*sides, k, engine="dense", device=device), walked[0])
    assert_same(best_partners(*sides, k, direction="b_to_a", engine="dense", device=device), walked[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("subset_b", [None, [5, 39, 1, 2, 17, 5], []])
def test_subsets_stay_in_full_numbering(device, subset_b) -> None:
    acts, subset_a = activations(0.5, 0.5), [7, 3, 29, 3, 0, 12]
    subsets = {"subset_a": subset_a, "subset_b": subset_b}
    for direction in ("a_to_b", "b_to_a"):
        walked = best_partners(*acts, 3, direction, **subsets, engine="walk")
        found = best_partners(*acts, 3, direction, **subsets, engine="dense", device=device)
        assert_same(found, walked)


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_ranks_share_dense_activations_out(n_ranks: int, direction: str) -> None:
    acts = activations(0.5, 0.7)
    shares = [best_partners_of_slice(*acts, rank, n_ranks, 2, direction) for rank in range(n_ranks)]
    sizes = [len(share.indices) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    together = BestPartners(*(np.concatenate(arrays) for arrays in zip(*shares, strict=True)))
    assert_same(together, best_partners(*acts, 2, direction, engine="walk"))


def test_nobody_to_pair() -> None:
    for side in (np.zeros((4, 3)), np.ones((1, 3)), np.zeros((0, 3))):
        acts = FeatureActivations.from_dense(side)
        for found in best_partners(acts, acts, 2, direction="both", engine="dense"):
            assert (found.indices == -1).all()
            assert np.isnan(found.correlations).all()
