"""The correlation engine against a plain dense float64 computation."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy.sparse import random_array

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, best_partners


def dense_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """corr[i, j] from its definition; NaN where either side is constant."""
    constant = (a == a[0]).all(axis=0)[:, None] | (b == b[0]).all(axis=0)
    a, b = (x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        corr = a.T @ b / np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    return np.where(constant, np.nan, corr)


def assert_best(found: BestPartners, corr: np.ndarray, candidates: np.ndarray, columns: np.ndarray, k: int) -> None:
    """`found` holds the k highest of each row of `corr` among `candidates`, identical `columns` lowest first."""
    assert found.indices.shape == found.correlations.shape == (len(corr), k)
    assert found.indices.dtype == np.int64
    assert found.correlations.dtype == np.float64
    lower_twin = lower_twins(columns, candidates)
    for row, indices, correlations in zip(corr, found.indices, found.correlations, strict=True):
        allowed = candidates[~np.isnan(row[candidates])]
        expected = -np.sort(-row[allowed])[:k]
        got = indices[: len(expected)]
        assert (got >= 0).all()
        assert len(np.unique(got)) == len(got)
        assert np.isin(got, allowed).all()
        np.testing.assert_allclose(correlations[: len(got)], expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(row[got], expected, rtol=0, atol=1e-10)
        assert (indices[len(got) :] == -1).all()
        assert np.isnan(correlations[len(got) :]).all()
        ranked: set[int] = {-1}
        for j in got.tolist():
            assert lower_twin[j] in ranked
            ranked.add(j)


def lower_twins(columns: np.ndarray, candidates: np.ndarray) -> dict[int, int]:
    """For each candidate the next lower one with the same column, -1 if none: a tie it must come after."""
    last_seen: dict[bytes, int] = {}
    twins = {}
    for j in candidates.tolist():
        key = columns[:, j].tobytes()
        twins[j] = last_seen.get(key, -1)
        last_seen[key] = j
    return twins


def random_activations(rng: np.random.Generator, n: int, d: int, density: float, dtype: type) -> np.ndarray:
    """Non-negative, sparse, off-centre, with dead, constant and always-active features, and duplicates, mixed in."""
    acts = (rng.random((n, d)) < density) * (rng.gamma(2.0, size=(n, d)) + 0.5)
    acts[rng.random(n) < 0.1] = 0
    kind = rng.random(d)
    acts[:, kind < 0.1] = 0
    acts[:, (kind >= 0.1) & (kind < 0.15)] = 0.3
    acts[:, (kind >= 0.15) & (kind < 0.2)] += 40.0
    sources = rng.integers(0, d, size=d)
    return np.where(kind > 0.8, acts[:, sources], acts).astype(dtype)


SHAPES = [(1, 3, 4), (2, 5, 5), (3, 1, 6), (12, 8, 1), (20, 15, 30), (60, 40, 25), (50, 200, 300), (200, 30, 400)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("density", [0.005, 0.05, 0.4])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_agrees_with_dense(shape: tuple[int, int, int], density: float, dtype: type) -> None:
    n, d_a, d_b = shape
    rng = np.random.default_rng([n, d_a, d_b, int(density * 1000)])
    a, b = random_activations(rng, n, d_a, density, dtype), random_activations(rng, n, d_b, density, dtype)
    acts_a, acts_b = FeatureActivations.from_dense(a), FeatureActivations.from_dense(b)
    corr = dense_correlations(a, b)
    for k in (1, 4, d_b + 2):
        assert_best(best_partners(acts_a, acts_b, k), corr, np.arange(d_b), b, k)
    assert_best(best_partners(acts_a, acts_b, 3, direction="b_to_a"), corr.T, np.arange(d_a), a, 3)


@pytest.mark.parametrize("shape", SHAPES[3:], ids=str)
@pytest.mark.parametrize("density", [0.01, 0.2])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_threads_and_directions_are_bitwise_equal(shape: tuple[int, int, int], density: float, k: int) -> None:
    n, d_a, d_b = shape
    rng = np.random.default_rng(3)
    acts_a = FeatureActivations.from_dense(random_activations(rng, n, d_a, density, np.float32))
    acts_b = FeatureActivations.from_dense(random_activations(rng, n, d_b, density, np.float32))
    one_way = [best_partners(acts_a, acts_b, k, direction=way, n_threads=1) for way in ("a_to_b", "b_to_a")]
    swapped = best_partners(acts_b, acts_a, k, direction="b_to_a")
    np.testing.assert_array_equal(swapped.indices, one_way[0].indices)
    for n_threads in (1, 2, 3, 4):
        both = best_partners(acts_a, acts_b, k, direction="both", n_threads=n_threads)
        again = best_partners(acts_a, acts_b, k, n_threads=n_threads)
        for expected, got in [*zip(one_way, both, strict=True), (one_way[0], again)]:
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_array_equal(got.correlations, expected.correlations)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_subsets_restrict_both_sides_in_full_numbering(k: int) -> None:
    rng = np.random.default_rng(4)
    a, b = (random_activations(rng, 80, d, 0.1, np.float32) for d in (30, 40))
    acts_a, acts_b = FeatureActivations.from_dense(a), FeatureActivations.from_dense(b)
    subset_a, subset_b = [7, 3, 29, 3, 0, 12], np.array([5, 39, 1, 2, 17])
    corr = dense_correlations(a, b)
    forward, reverse = best_partners(acts_a, acts_b, k, direction="both", subset_a=subset_a, subset_b=subset_b)
    assert_best(forward, corr[subset_a], np.sort(subset_b), b, k)
    assert_best(reverse, corr.T[subset_b], np.unique(subset_a), a, k)
    only_claiming = best_partners(acts_a, acts_b, k, subset_a=subset_a)
    np.testing.assert_array_equal(only_claiming.indices, best_partners(acts_a, acts_b, k).indices[subset_a])
    nobody = best_partners(acts_a, acts_b, k, subset_b=[])
    assert (nobody.indices == -1).all()


@pytest.mark.parametrize("negative", [False, True])
def test_partners_that_never_fire_together(negative: bool) -> None:
    """Disjoint tokens: every correlation is -m_a m_b, and the rarest partner is best (most frequent if a is < 0)."""
    a, b = np.zeros((30, 2)), np.zeros((30, 40))
    a[:2, 0], a[:10, 1] = 1.5, [0.5] * 5 + [2.0] * 5
    a *= -1 if negative else 1
    for j in range(40):
        b[10 : 11 + j % 20, j] = 1.0 + j
    found = best_partners(FeatureActivations.from_dense(a), FeatureActivations.from_dense(b), 40)
    corr = dense_correlations(a, b)
    np.testing.assert_allclose(found.correlations, -np.sort(-corr, axis=1), rtol=0, atol=1e-12)
    assert (np.sign(found.correlations) == (1 if negative else -1)).all()
    if not negative:
        assert found.indices[0, :4].tolist() == [0, 20, 1, 21]  # firing once or twice; ties to the lowest index


def test_both_walks_again_where_silent_partners_are_best() -> None:
    """B's features fire with A's frequent feature only, whose correlation with them is lower than silent ones'."""
    rng = np.random.default_rng(9)
    a, b = np.zeros((400, 200)), np.zeros((400, 300))
    a[:200, 0] = 1.0 + 10 * (np.arange(200) < 20)
    a[np.arange(399, 200, -1), np.arange(1, 200)] = rng.random(199) + 0.5
    b[rng.integers(20, 200, 300), np.arange(300)] = 1.0
    a, b = a.astype(np.float32), b.astype(np.float32)
    acts_a, acts_b = FeatureActivations.from_dense(a), FeatureActivations.from_dense(b)
    _, reverse = best_partners(acts_a, acts_b, 2, direction="both")
    assert_best(reverse, dense_correlations(a, b).T, np.arange(200), a, 2)
    assert (reverse.correlations < 0).any()
    np.testing.assert_array_equal(reverse.indices, best_partners(acts_a, acts_b, 2, direction="b_to_a").indices)


def test_perfect_correlations_tie_to_the_lowest_index_whatever_their_scale() -> None:
    rng = np.random.default_rng(5)
    a, b = np.zeros((97, 3)), np.zeros((97, 60))
    a[[5, 40, 41], [0, 1, 2]] = [0.37, 2.1, 1.9]
    b[40, 7:] = rng.random(53) + 0.01
    found = best_partners(FeatureActivations.from_dense(a), FeatureActivations.from_dense(b), 53)
    assert found.indices[1].tolist() == list(range(7, 60))
    assert (found.correlations[1] == 1.0).all()
    assert found.indices[0].tolist() == list(range(7, 60))  # never together, all equally rare
    assert (found.correlations[[0, 2]] < 0).all()


@pytest.mark.parametrize("engine", ["walk", "dense"])
def test_equal_correlations_tie_to_the_lowest_index_whatever_their_scale(engine) -> None:
    """All of B's features fire once, on one of the two tokens of A's: their correlations differ in the last bits."""
    rng = np.random.default_rng(10)
    a, b = np.zeros((97, 1)), np.zeros((97, 60))
    a[[5, 40], 0] = [2.0, 2.0]
    b[rng.choice([5, 40], 60), np.arange(60)] = rng.random(60) + 0.01
    acts = FeatureActivations.from_dense(a.astype(np.float32)), FeatureActivations.from_dense(b.astype(np.float32))
    found = best_partners(*acts, 20, engine=engine)
    assert found.indices[0].tolist() == list(range(20))
    assert len(np.unique(found.correlations)) == 1


def test_correlations_stay_within_one() -> None:
    rng = np.random.default_rng(6)
    base = rng.random((50, 1)).astype(np.float32) * rng.integers(0, 2, (50, 1))
    acts = FeatureActivations.from_dense((base * rng.random(30).astype(np.float32)).astype(np.float32))
    found = best_partners(acts, acts, 30)
    assert found.correlations.max() <= 1.0
    np.testing.assert_allclose(found.correlations, 1.0, atol=1e-6)


def test_large_mean_keeps_its_digits() -> None:
    """Always-active features with a mean of 10^6 standard deviations, where S_ij - n m_i m_j has no digits left."""
    rng = np.random.default_rng(7)
    a, b = (1e4 + 0.02 * rng.standard_normal((500, 6)) for _ in range(2))
    b[:, 0] = 3 * a[:, 2] + 0.01 * rng.standard_normal(500)
    a, b = a.astype(np.float32), b.astype(np.float32)
    found = best_partners(FeatureActivations.from_dense(a), FeatureActivations.from_dense(b), 6)
    assert_best(found, dense_correlations(a, b), np.arange(6), b, 6)


def test_features_without_variance_have_no_partner_and_are_none() -> None:
    a = np.array([[0, 0.1, 1], [0, 0.1, 0], [0, 0.1, 2]])
    b = np.array([[0.1, 0, 3, 1], [0.1, 0, 0, 2], [0.1, 0, 1, 0]])
    found = best_partners(FeatureActivations.from_dense(a), FeatureActivations.from_dense(b), 3)
    assert found.indices.tolist() == [[-1, -1, -1], [-1, -1, -1], [2, 3, -1]]
    assert np.isnan(found.correlations).tolist() == [[True] * 3, [True] * 3, [False, False, True]]


def test_one_token_and_no_token() -> None:
    for n_tokens in (0, 1):
        acts = FeatureActivations.from_dense(np.ones((n_tokens, 3)))
        for found in best_partners(acts, acts, 2, direction="both"):
            assert (found.indices == -1).all()
            assert np.isnan(found.correlations).all()


def test_read_only_memory_maps(tmp_path) -> None:
    acts = FeatureActivations.from_scipy(random_array((40, 20), density=0.2, rng=8, format="csr"))
    for name in ("indptr", "indices", "values"):
        np.save(tmp_path / f"{name}.npy", getattr(acts, name))
    arrays = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("indptr", "indices", "values")]
    mapped = FeatureActivations(*arrays, d_sae=20)
    np.testing.assert_array_equal(best_partners(mapped, acts, 2).indices, best_partners(acts, acts, 2).indices)


def test_no_correlation_matrix_exists() -> None:
    d_sae = 20_000
    sides = [random_array((1000, d_sae), density=2e-4, rng=seed, format="csr") for seed in (1, 2)]
    acts_a, acts_b = (FeatureActivations.from_scipy(side) for side in sides)
    best_partners(acts_a, acts_b, 2, direction="both", n_threads=2)
    tracemalloc.start()
    best_partners(acts_a, acts_b, 2, direction="both", n_threads=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < d_sae * 500  # a bit a pair would be d_sae * 2500 bytes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k=0: must be at least 1"),
        ({"direction": "sideways"}, "direction=sideways: is not an option"),
        ({"n_threads": 0}, "n_threads=0: must be at least 1"),
        ({"subset_a": [0, 9]}, r"subset_a in \[0, 4\), got 0 to 9"),
        ({"subset_b": [-1]}, r"subset_b in \[0, 4\), got -1 to -1"),
        ({"subset_b": [True, False]}, "feature indices, got 1-D of bool"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    acts = FeatureActivations.from_dense(np.eye(4))
    with pytest.raises(ValueError, match=message):
        best_partners(acts, acts, **arguments)


def test_different_tokens() -> None:
    with pytest.raises(ValueError, match="same tokens, got 4 and 5"):
        best_partners(FeatureActivations.from_dense(np.eye(4)), FeatureActivations.from_dense(np.eye(5)))


def test_import_leaves_numba_alone() -> None:
    code = "import sys; from analogue.matching import best_partners; assert not any('numba' == m for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
