"""Slices for ranks put together give what one process finds."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import random_array

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, balanced_slices, best_partners, best_partners_of_slice
from tests.matching.test_best_partners import random_activations

RANKS = [1, 2, 3, 5]


def draw(n: int, d_a: int, d_b: int, density: float) -> list[FeatureActivations]:
    rng = np.random.default_rng([n, d_a, d_b])
    return [FeatureActivations.from_dense(random_activations(rng, n, d, density, np.float32)) for d in (d_a, d_b)]


def concatenated(shares: list[BestPartners]) -> BestPartners:
    return BestPartners(*(np.concatenate(arrays) for arrays in zip(*shares, strict=True)))


@pytest.mark.parametrize("n_ranks", RANKS)
@pytest.mark.parametrize("shape", [(30, 1, 4), (40, 3, 2), (60, 20, 31), (90, 101, 64), (50, 200, 300)], ids=str)
@pytest.mark.parametrize("k", [1, 3])
def test_ranks_concatenate_to_one_process(n_ranks: int, shape: tuple[int, int, int], k: int) -> None:
    acts_a, acts_b = draw(*shape, density=0.08)
    whole = best_partners(acts_a, acts_b, k, direction="both", engine="walk")
    for direction, expected in zip(("a_to_b", "b_to_a"), whole, strict=True):
        shares = [
            best_partners_of_slice(acts_a, acts_b, rank, n_ranks, k, direction, n_threads=rank + 1, engine="walk")
            for rank in range(n_ranks)
        ]
        found = concatenated(shares)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.correlations, expected.correlations)


def test_ranks_concatenate_with_the_dense_engine() -> None:
    acts_a, acts_b = draw(90, 53, 64, density=0.08)
    whole = best_partners(acts_a, acts_b, 2)
    found = concatenated([best_partners_of_slice(acts_a, acts_b, rank, 3, 2, engine="dense") for rank in range(3)])
    np.testing.assert_array_equal(found.indices, whole.indices)
    np.testing.assert_array_equal(found.correlations, whole.correlations)


@pytest.mark.parametrize("n_slices", [*RANKS, 40])
def test_slices_cover_every_feature_once_in_order(n_slices: int) -> None:
    claiming, other = draw(60, 23, 31, density=0.2)
    slices = balanced_slices(claiming, other, n_slices)
    assert len(slices) == n_slices
    np.testing.assert_array_equal(np.concatenate(slices), np.arange(23))


def test_slices_share_the_cost_not_the_features() -> None:
    """The first tenth of the features fires on most tokens, as in an SAE whose features are sorted by frequency."""
    rng = np.random.default_rng(1)
    density = np.where(np.arange(1000) < 100, 0.3, 0.003)
    claiming = FeatureActivations.from_dense(rng.random((800, 1000)) < density)
    other = FeatureActivations.from_scipy(random_array((800, 500), density=0.05, rng=2))
    met = (claiming.to_scipy() != 0).T @ np.diff(other.indptr)
    costs = [met[share].sum() for share in balanced_slices(claiming, other, 4)]
    assert max(costs) < 1.05 * np.mean(costs)
    assert max(met[share].sum() for share in np.array_split(np.arange(1000), 4)) > 3 * np.mean(costs)


def test_nothing_fires() -> None:
    silent = FeatureActivations.from_dense(np.zeros((3, 7)))
    slices = balanced_slices(silent, silent, 3)
    assert all(abs(len(x) - len(y)) <= 1 for x, y in pairwise(slices))
    nobody = FeatureActivations.from_dense(np.zeros((3, 0)))
    assert [len(share) for share in balanced_slices(nobody, silent, 2)] == [0, 0]


def test_bad_arguments() -> None:
    acts, more = FeatureActivations.from_dense(np.eye(4)), FeatureActivations.from_dense(np.eye(5))
    with pytest.raises(ValueError, match="same tokens, got 4 and 5"):
        balanced_slices(acts, more, 2)
    with pytest.raises(ValueError, match="n_slices=0: must be at least 1"):
        balanced_slices(acts, acts, 0)
    with pytest.raises(ValueError, match=r"rank in \[0, 2\), got 2"):
        best_partners_of_slice(acts, acts, 2, 2)
    with pytest.raises(ValueError, match="direction=both: is not an option"):
        best_partners_of_slice(acts, acts, 0, 2, direction="both")
    with pytest.raises(ValueError, match="same tokens, got 4 and 5"):
        best_partners_of_slice(acts, more, 0, 2)
