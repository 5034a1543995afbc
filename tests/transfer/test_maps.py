import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import Ridge, RidgeCV

from analogue.transfer import (
    best_penalty,
    leave_one_out_error,
    paired_moments,
    principal_moments,
    ridge_map,
    rotation_map,
)
from analogue.transfer.maps import RELATIVE_PENALTIES
from analogue.transfer.moments import PairedMoments
from tests.transfer.streams import rotated, streams


def close(found, expected, tolerance=1e-8):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=tolerance, atol=tolerance)


def test_moments_of_parts_add_up_in_any_order():
    x, y = streams()
    parts = [paired_moments(x[some], y[some]) for some in torch.randperm(len(x)).split(37)]
    for found, expected in zip(map(sum, zip(*parts, strict=True)), paired_moments(x, y), strict=True):
        close(found, expected, 1e-12)


def test_reversed_moments_are_those_of_the_streams_exchanged():
    x, y = streams()
    for found, expected in zip(paired_moments(x, y).reverse(), paired_moments(y, x), strict=True):
        close(found, expected, 1e-14)


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1e4])
@pytest.mark.parametrize("widths", [(6, 9), (9, 4)])
def test_ridge_is_that_of_scikit_learn(penalty, widths):
    x, y = streams(d_x=widths[0], d_y=widths[1])
    found = ridge_map(principal_moments(paired_moments(x, y)), penalty)
    expected = Ridge(alpha=penalty, solver="cholesky").fit(x.numpy(), y.numpy())
    close(found.weight, expected.coef_.T)
    close(found.shift, expected.intercept_)
    close(found(x), expected.predict(x.numpy()))


def test_leave_one_out_is_that_of_scikit_learn_and_of_fitting_n_times():
    x, y = streams(n=40)
    principal = principal_moments(paired_moments(x, y))
    penalties = [float(principal.variation.mean()) * relative for relative in RELATIVE_PENALTIES]
    found = [leave_one_out_error(principal, x, y, penalty) for penalty in penalties]
    fitted = RidgeCV(alphas=penalties, store_cv_results=True, gcv_mode="svd").fit(x.numpy(), y.numpy())
    close(found, fitted.cv_results_.mean(0).sum(0), 1e-7)
    assert best_penalty(principal, x, y) == fitted.alpha_
    for penalty, error in zip(penalties[::5], found[::5], strict=True):
        squares = []
        for left in range(len(x)):
            stays = np.arange(len(x)) != left
            without = Ridge(alpha=penalty, solver="cholesky").fit(x[stays].numpy(), y[stays].numpy())
            squares.append(np.square(without.predict(x[[left]].numpy()) - y[[left]].numpy()).sum())
        close(error, np.mean(squares), 1e-7)


def test_the_penalty_is_chosen_between_too_little_and_too_much():
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.standard_normal((60, 50)))
    y = x[:, :4] + torch.from_numpy(rng.standard_normal((60, 4)))
    principal = principal_moments(paired_moments(x, y))
    chosen = best_penalty(principal, x, y) / float(principal.variation.mean())
    assert RELATIVE_PENALTIES[0] < chosen < RELATIVE_PENALTIES[-1]


@pytest.mark.parametrize("widths", [(6, 6), (6, 9), (9, 6)])
def test_rotation_is_scipys_on_padded_centred_streams(widths):
    x, y = streams(d_x=widths[0], d_y=widths[1])
    found = rotation_map(paired_moments(x, y))
    centred = [side.numpy() - side.numpy().mean(0) for side in (x, y)]
    wide = max(widths)
    padded = [np.pad(side, ((0, 0), (0, wide - side.shape[1]))) for side in centred]
    rotation, singular_values = orthogonal_procrustes(*padded)
    expected = rotation[: widths[0], : widths[1]] * singular_values / np.square(centred[0]).sum()
    close(found.weight, expected)
    close(found.shift, y.numpy().mean(0) - x.numpy().mean(0) @ expected)


@pytest.mark.parametrize("d_y", [6, 9])
def test_a_rotation_is_found_exactly_by_both(d_y):
    x, _ = streams()
    y = rotated(x, d_y)
    moments = paired_moments(x, y)
    for fitted in (rotation_map(moments), ridge_map(principal_moments(moments), 0.0)):
        close(fitted(x), y, 1e-7)
    back = rotation_map(moments.reverse())
    close(back(rotation_map(moments)(x)), x, 1e-7)


def test_where_x_does_not_vary_nothing_is_mapped():
    x, y = streams()
    flat = torch.cat([x, torch.full((len(x), 1), 3.0, dtype=torch.float64), x[:, :1]], 1)  # constant, and twice
    fitted = ridge_map(principal_moments(paired_moments(flat, y)), 0.0)
    assert fitted.weight.isfinite().all()
    close(fitted(flat), ridge_map(principal_moments(paired_moments(x, y)), 0.0)(x), 1e-6)


def test_a_large_mean_loses_no_digits_that_matter():
    x, y = streams()
    far = x + 1e4
    fitted = ridge_map(principal_moments(paired_moments(far.float(), y)), 1.0)
    expected = Ridge(alpha=1.0).fit(far.float().double().numpy(), y.numpy())
    close(fitted(far), expected.predict(far.numpy()), 1e-4)


def test_moments_are_taken_in_float64():
    x, y = streams()
    moments = paired_moments(x.float(), y.half())
    assert isinstance(moments, PairedMoments)
    assert {each.dtype for each in moments} == {torch.float64}
