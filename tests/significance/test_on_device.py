"""Nulls of tensors on a device are those of arrays."""

import numpy as np
import pytest
import torch

from analogue.significance import (
    mantel_moments,
    random_pairs,
    random_subset,
    score_against_draws,
    score_against_null,
)
from analogue.similarity import METRICS
from tests.devices import DEVICES
from tests.similarity.on_device import keep_in_place, placed
from tests.similarity.planted import planted_pair, random_pair

PAIR = tuple(side[:, :9] for side in planted_pair())
ALL = np.arange(400)


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    keep_in_place(monkeypatch, request.param)
    return request.param


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.draws, other.draws, rtol=0, atol=1e-10, err_msg=one.metric)
        for key, value in other.to_dict().items():
            got = one.to_dict()[key]
            assert got == (pytest.approx(value, abs=1e-7) if isinstance(value, float) else pytest.approx(value)), key


def test_shuffles(device):
    names = list(METRICS)
    pair = tuple(side[:60] for side in PAIR)
    assert_same(
        score_against_null(*placed(pair, device), names, 4, seed=3), score_against_null(*pair, names, 4, seed=3)
    )


def test_draws_of_other_features(device):
    tensors = placed(PAIR, device)
    for names, draw_of in (
        (["svcca", "rsa"], lambda x, y: random_pairs(x, y, 50, ALL, ALL[20:])),
        (["cka", "mutual_knn"], lambda x, y: random_subset(x, y, 50, 60, lambda a, b: (a[:40], b[:40]), ALL, ALL)),
    ):
        found, expected = (
            score_against_draws(x[:50], y[:50], names, draw_of(x, y), "mine", 4, seed=1) for x, y in (tensors, PAIR)
        )
        assert_same(found, expected)


def test_too_few_pairs_and_no_variance_have_no_score(device):
    x, y = placed(random_pair(1), device)
    for pair, reason in (((x[:2], y[:2]), "2 pairs are left"), ((x, torch.ones_like(y)), "does not vary")):
        for result in score_against_null(*pair, ["svcca", "rsa"], 3, seed=0):
            assert result.score is None
            assert reason in result.reason


def test_moments_over_all_permutations(device):
    r = np.random.default_rng(0)
    pair = r.standard_normal(15), r.standard_normal(15)
    assert mantel_moments(*placed(pair, device)) == pytest.approx(mantel_moments(*pair), abs=1e-14)
    assert np.isnan(mantel_moments(*placed((np.ones(6), np.arange(6.0)), device)).variance)
