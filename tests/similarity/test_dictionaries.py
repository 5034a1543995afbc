"""Dictionary consistency against a linear programme, and its floors."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.sparse import csr_array, kron, vstack

from analogue.similarity import dictionary_consistency


def assigned_by_linear_programme(weights):
    """The assignment of the highest total weight as a vertex of the polytope of doubly substochastic matrices."""
    n, m = weights.shape
    rows, columns = kron(np.eye(n), np.ones((1, m))), kron(np.ones((1, n)), np.eye(m))
    solved = linprog(-weights.ravel(), A_ub=csr_array(vstack([rows, columns])), b_ub=np.ones(n + m), method="highs-ds")
    return np.nonzero(solved.x.reshape(n, m) > 0.5)


def oracle(w_a, w_b, e_a, e_b, threshold):
    cosines = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in w_b] for a in w_a])
    rows, columns = assigned_by_linear_programme(np.abs(cosines))
    pw_mcc = np.abs(cosines[rows, columns]).mean()
    rows, columns = assigned_by_linear_programme(cosines + 2)
    read = [
        e_a[i] @ e_b[j] / np.linalg.norm(e_a[i]) / np.linalg.norm(e_b[j]) for i, j in zip(rows, columns, strict=True)
    ]
    both = (cosines[rows, columns] > threshold) & (np.array(read) > threshold)
    best = [np.mean(np.max(cosines, axis=axis) > threshold) for axis in (1, 0)]
    return {"pw_mcc": pw_mcc, "best_share_a": best[0], "best_share_b": best[1], "assigned_share": both.mean()}


def dictionaries(seed, n_a=40, n_b=40, shared=25, d=16):
    """B shares rows of A, permuted, with noise, some of them with their sign turned; norms are all but equal."""
    r = np.random.default_rng(seed)
    w_a, w_b = r.standard_normal((n_a, d)), r.standard_normal((n_b, d))
    e_a, e_b = w_a + 0.6 * r.standard_normal(w_a.shape), w_b + 0.6 * r.standard_normal(w_b.shape)
    places = r.permutation(min(n_a, n_b))[:shared]
    sign = np.where(r.random((shared, 1)) < 0.2, -1, 1)
    w_b[places] = sign * (w_a[:shared] + 0.5 * r.standard_normal((shared, d)))
    e_b[places] = e_a[:shared] + 0.3 * r.standard_normal((shared, d))
    return [rows * np.exp(r.standard_normal((len(rows), 1))) for rows in (w_a, w_b, e_a, e_b)]


@pytest.mark.parametrize("sizes", [(40, 40), (30, 48), (48, 30)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_what_a_linear_programme_finds(seed, sizes):
    w_a, w_b, e_a, e_b = dictionaries(seed, *sizes)
    found = dictionary_consistency(w_a, torch.as_tensor(w_b), e_a, e_b, threshold=0.6)
    expected = oracle(w_a, w_b, e_a, e_b, 0.6)
    assert 0.1 < expected["assigned_share"] < 0.9
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, abs=1e-6)


def test_the_floor_is_that_of_unrelated_rows():
    w_a, w_b, e_a, e_b = dictionaries(3, 200, 200, shared=0)
    found = dictionary_consistency(w_a, w_b, e_a, e_b)
    assert found.pw_mcc == pytest.approx(found.floor["pw_mcc"], abs=0.02)
    assert found.floor["pw_mcc"] > 0.5  # in 16 dimensions every row has a near one
    assert found.best_share_a == pytest.approx(found.floor["best_share_a"], abs=0.1)
    assert found.assigned_share < 0.05
    assert dictionary_consistency(w_a, w_b, e_a, e_b).floor == found.floor
    assert dictionary_consistency(w_a, w_b, e_a, e_b, seed=1).floor != found.floor


def test_a_permuted_and_rescaled_dictionary_is_the_same():
    w_a, _, e_a, _ = dictionaries(4)
    order = np.random.default_rng(0).permutation(40)
    found = dictionary_consistency(w_a, -3 * w_a[order], e_a, e_a[order])
    assert found.pw_mcc == pytest.approx(1)
    assert found.assigned_share == 0  # the sign means something to a feature
    same = dictionary_consistency(w_a, 3 * w_a[order], e_a, e_a[order])
    assert (same.best_share_a, same.best_share_b, same.assigned_share) == (1, 1, 1)


def test_rows_of_zeros_are_left_out_and_bad_input_is_refused():
    w_a, w_b, e_a, e_b = dictionaries(5)
    w_a[7] = 0
    found = dictionary_consistency(w_a, w_b)
    assert (found.n_a, found.n_b, found.assigned_share, found.floor["assigned_share"]) == (39, 40, None, None)
    with pytest.raises(ValueError, match="both encoders"):
        dictionary_consistency(w_a, w_b, e_a)
    with pytest.raises(ValueError, match=r"one shape, got \(40, 15\)"):
        dictionary_consistency(w_a, w_b, e_a[:, :15], e_b)
    with pytest.raises(ValueError, match="one width"):
        dictionary_consistency(w_a, w_b[:, :9])
    with pytest.raises(ValueError, match=r"threshold in \[-1, 1\], got 1.5"):
        dictionary_consistency(w_a, w_b, threshold=1.5)
