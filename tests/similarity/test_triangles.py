"""Distances that are streamed, and kept as small integers, give the correlation of those that are kept as they are."""

import importlib

import numpy as np
import pytest

from analogue.similarity.inputs import identity
from analogue.similarity.rsa import INNER, prepare_rsa

rsa_module = importlib.import_module("analogue.similarity.rsa")
N = 700


@pytest.fixture(scope="module")
def sides():
    """Of several scales, with a mean, an outlier, and two rows that are one."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(N, 12))
    x = shared @ rng.normal(size=(12, 30)) * rng.uniform(0.3, 3, (N, 1)) + 2
    y = shared @ rng.normal(size=(12, 50)) + 3 * rng.normal(size=(N, 50)) - 1
    x[7] *= 20
    x[9] = x[11]
    return x, y


def scores(sides, monkeypatch, most_kept, *settings, most_of_16_bits=20_000):
    monkeypatch.setattr(rsa_module, "MOST_KEPT", most_kept)
    monkeypatch.setattr("analogue.similarity.triangles.MOST_OF_16_BITS", most_of_16_bits)
    monkeypatch.setattr("analogue.similarity.triangles.ROWS_AT_ONCE", 64)
    scorer = prepare_rsa(*sides, *settings)
    return [scorer(order) for order in (identity(sides[0]), np.random.default_rng(1).permutation(N))]


@pytest.mark.parametrize("outer", ["spearman", "pearson"])
@pytest.mark.parametrize("inner", INNER)
def test_a_streamed_score_is_the_exact_one_rounded(sides, monkeypatch, inner, outer):
    exact = scores(sides, monkeypatch, 8192, inner, outer)
    assert abs(exact[0]) > 0.05 > abs(exact[1])
    np.testing.assert_allclose(scores(sides, monkeypatch, 10, inner, outer), exact, atol=1e-6)
    if outer == "spearman":
        few_bits = scores(sides, monkeypatch, 10, inner, outer, most_of_16_bits=10)
        np.testing.assert_allclose(few_bits, exact, atol=5e-5)
        assert few_bits != exact


def test_a_side_is_like_itself_and_the_sides_can_change_places(sides, monkeypatch):
    x, y = sides
    assert scores((x, 3 * x), monkeypatch, 10, most_of_16_bits=10)[0] == pytest.approx(1, abs=1e-7)
    there, back = (scores(pair, monkeypatch, 10)[0] for pair in ((x, y), (y, x)))
    assert there == pytest.approx(back, abs=1e-7)


def test_what_does_not_vary_or_has_no_direction_has_no_score(sides, monkeypatch):
    x, y = sides
    flat = np.eye(N)
    assert np.isnan(scores((flat, y), monkeypatch, 10)).all()
    zero = y.copy()
    zero[3] = 0
    assert np.isnan(scores((x, zero), monkeypatch, 10, "cosine")).all()
    zero[3] = 5
    assert np.isnan(scores((x, zero), monkeypatch, 10, "correlation")).all()
    assert np.isfinite(scores((x, zero), monkeypatch, 10, "cosine")).all()
