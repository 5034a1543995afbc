"""Top tokens against a plain sort."""

import numpy as np
import pytest

from analogue.features import FeatureActivations, TopTokens, top_positions, top_tokens


def sorted_positions(dense: np.ndarray, k: int) -> np.ndarray:
    """Highest first, ties to the lowest position, from the definition."""
    positions = np.full((dense.shape[1], k), -1)
    for feature, column in enumerate(dense.T):
        active = sorted(np.flatnonzero(column), key=lambda t: (-column[t], t))[:k]
        positions[feature, : len(active)] = active
    return positions


@pytest.mark.parametrize("k", [1, 2, 5, 40])
@pytest.mark.parametrize("shape", [(1, 1), (0, 3), (30, 20), (200, 7)])
def test_positions(shape: tuple[int, int], k: int) -> None:
    rng = np.random.default_rng(1)
    dense = rng.integers(1, 6, shape) * (rng.random(shape) < 0.3) / 2  # few distinct values: many ties
    found = top_positions(FeatureActivations.from_dense(dense), k)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, sorted_positions(dense, k))


def test_strings_of_those_that_exist_with_repeats() -> None:
    dense = np.array([[1.0, 0, 0], [3.0, 0, 2], [2.0, 0, 0], [0.5, 0, 2]])
    token_ids = np.array([5, 9, 5, 7])
    for vocabulary in ({5: " cat", 9: ".", 7: " sat"}, [""] * 5 + [" cat", "", " sat", "", "."]):
        top = top_tokens(FeatureActivations.from_dense(dense), token_ids, vocabulary, k=3)
        assert top.strings == [(".", " cat", " cat"), (), (".", " sat")]
        assert top.positions.tolist() == [[1, 2, 0], [-1, -1, -1], [1, 3, -1]]
        assert len(top) == 3


def test_bad_input() -> None:
    acts = FeatureActivations.from_dense(np.eye(3))
    with pytest.raises(ValueError, match="k=0: must be at least 1"):
        top_positions(acts, 0)
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        top_tokens(acts, np.arange(2), ["a"] * 9)
    for bad in (-1, 9):
        with pytest.raises(ValueError, match=f"vocabulary of 9, got {bad}"):
            top_tokens(acts, np.array([0, 1, bad]), ["a"] * 9)
    with pytest.raises(ValueError, match="strings of 2 features, got 1"):
        TopTokens(np.zeros((2, 5), dtype=np.int64), [("a",)])
