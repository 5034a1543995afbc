"""`FeatureActivations` against dense NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy import sparse

from analogue.features import FeatureActivations


def dense_activations(n_tokens: int = 9, d_sae: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    acts = rng.gamma(2.0, size=(n_tokens, d_sae)) * (rng.random((n_tokens, d_sae)) < 0.4)
    acts[2], acts[:, 4] = 0, 0
    return acts


def assert_canonical(acts: FeatureActivations) -> None:
    assert (acts.indptr.dtype, acts.indices.dtype, acts.values.dtype) == (np.int64, np.int32, np.float32)
    assert (acts.values != 0).all()
    for start, stop in zip(acts.indptr[:-1], acts.indptr[1:], strict=True):
        assert (np.diff(acts.indices[start:stop]) > 0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_from_dense(dtype: type, kind: str) -> None:
    dense = dense_activations().astype(dtype)
    acts = FeatureActivations.from_dense(dense if kind == "numpy" else torch.from_numpy(dense))
    assert_canonical(acts)
    assert (acts.n_tokens, acts.d_sae, acts.shape) == (9, 6, (9, 6))
    np.testing.assert_array_equal(acts.to_scipy().toarray(), dense.astype(np.float32))


def test_from_dense_takes_bfloat16_and_gradients() -> None:
    dense = torch.tensor([[0.0, 1.5], [2.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    assert FeatureActivations.from_dense(dense).to_scipy().toarray().tolist() == [[0, 1.5], [2, 0]]


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_array", "coo_array"])
def test_from_scipy(kind: str) -> None:
    dense = dense_activations()
    acts = FeatureActivations.from_scipy(getattr(sparse, kind)(dense))
    assert_canonical(acts)
    np.testing.assert_array_equal(acts.to_scipy().toarray(), dense.astype(np.float32))


def test_from_scipy_makes_canonical_rows_and_leaves_its_argument() -> None:
    data, indices, indptr = [1.0, 2.0, 0.0, 3.0, 4.0, -4.0, 1e-60], [3, 0, 1, 3, 2, 2, 0], [0, 4, 6, 6, 7]
    matrix = sparse.csr_array((np.array(data), np.array(indices), np.array(indptr)), shape=(4, 5))
    acts = FeatureActivations.from_scipy(matrix)
    assert_canonical(acts)
    assert acts.to_scipy().toarray().tolist() == [[2, 0, 0, 4, 0], [0] * 5, [0] * 5, [0] * 5]
    assert (matrix.data.tolist(), matrix.indices.tolist()) == (data, indices)


def test_canonical_rows_and_memory_maps_are_shared(tmp_path) -> None:
    acts = FeatureActivations.from_dense(dense_activations())
    assert np.shares_memory(FeatureActivations.from_scipy(acts.to_scipy()).values, acts.values)
    np.save(tmp_path / "values.npy", acts.values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    stored = FeatureActivations(acts.indptr, acts.indices, mapped, acts.d_sae)
    assert stored.values is mapped
    assert np.shares_memory(stored.to_scipy().data, mapped)


def test_counts() -> None:
    dense = dense_activations()
    acts = FeatureActivations.from_dense(dense)
    assert acts.n_active().dtype == np.int64
    np.testing.assert_array_equal(acts.n_active(), (dense > 0).sum(axis=0))
    assert acts.l0() == pytest.approx((dense > 0).sum(axis=1).mean())
    assert acts.nnz == (dense > 0).sum()
    empty = FeatureActivations.from_dense(np.zeros((0, 3)))
    assert (empty.shape, empty.n_active().tolist()) == ((0, 3), [0, 0, 0])
    assert np.isnan(empty.l0())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones(3, np.float32)}, r"as many values as indices \(4\), got 3"),
        ({"indptr": np.array([0, 2, 3])}, r"0 to nnz = 4, got ends \[0, 3\]"),
        ({"indptr": np.array([0, 5, 4])}, "never to decrease"),
        ({"indptr": np.array([], dtype=np.int64)}, r"got ends \[\]"),
        ({"indptr": np.array([0, 2, 4], dtype=np.int32)}, "indptr 1-D of int64, got 1-D of int32"),
        ({"indices": np.array([0, 3, 1, 2], np.int32)}, r"\[0, 3\), got 0 to 3"),
        ({"indices": np.array([-1, 2, 1, 2], np.int32)}, r"\[0, 3\), got -1 to 2"),
        ({"indices": np.array([2, 0, 1, 2], np.int32)}, "canonical rows"),
        ({"indices": np.array([0, 0, 1, 2], np.int32)}, "canonical rows"),
        ({"values": np.array([1, 0, 1, 1], np.float32)}, "canonical rows"),
        ({"values": np.array([1, np.nan, np.inf, 1], np.float32)}, "finite values, got 2"),
    ],
)
def test_refuses_what_is_not_canonical(change: dict, message: str) -> None:
    arrays = {
        "indptr": np.array([0, 2, 4]),
        "indices": np.array([0, 2, 1, 2], np.int32),
        "values": np.ones(4, np.float32),
    }
    FeatureActivations(**arrays, d_sae=3)
    with pytest.raises(ValueError, match=message):
        FeatureActivations(**{**arrays, **change}, d_sae=3)


def test_refuses_other_shapes_and_overflow() -> None:
    with pytest.raises(ValueError, match=r"\(n_tokens, d_sae\), got shape \(3,\)"):
        FeatureActivations.from_dense(np.ones(3))
    with pytest.raises(ValueError, match="finite values, got 1"):
        FeatureActivations.from_dense(np.array([[1e300, 1.0]]))
