import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analogue.transfer import (
    hard_negatives,
    paired_moments,
    principal_moments,
    ridge_map,
    rotation_map,
    score_mapped_rows,
)
from analogue.transfer.rows import area
from tests.transfer.streams import rotated, streams


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((300, 12)) * np.random.default_rng(1).uniform(0.2, 5, (300, 1))


NOTHING = np.array([], dtype=np.int64)


def test_own_rows_come_first(rows):
    partner = np.arange(300)[::-1].copy()
    found = score_mapped_rows(3.0 * rows[partner], partner, rows, np.ones(300, bool), [NOTHING] * 300)
    np.testing.assert_allclose(found.cosine, 1, atol=1e-12)
    assert (found.rank == 1).all()
    assert (found.auc == 1).all()
    assert np.isnan(found.auc_hard).all()


def test_random_rows_are_at_chance(rows):
    rng = np.random.default_rng(2)
    found = score_mapped_rows(
        rng.standard_normal((300, 12)), rng.permutation(300), rows, np.ones(300, bool), [NOTHING] * 300
    )
    assert abs(found.auc.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 300)
    assert abs((found.rank <= 30).mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 300)
    assert abs(found.cosine.mean()) < 0.1


def test_rank_and_area_are_those_of_the_live_rows(rows):
    rng = np.random.default_rng(3)
    live = rng.random(300) < 0.5
    partner = np.flatnonzero(live)[:20]
    mapped = rows[partner] + rng.standard_normal((20, 12))
    hard = [rng.choice(np.setdiff1d(np.flatnonzero(live), [each]), 7, replace=False) for each in partner]
    found = score_mapped_rows(mapped, partner, rows, live, hard)
    for i, j in enumerate(partner):
        cosines = rows @ mapped[i] / np.linalg.norm(rows, axis=1) / np.linalg.norm(mapped[i])
        assert found.rank[i] == 1 + (cosines[live] > cosines[j]).sum()
        assert found.auc[i] == pytest.approx(roc_auc_score(np.flatnonzero(live) == j, cosines[live]))
        assert found.cosine_hard[i] == pytest.approx(cosines[hard[i]].mean())
        assert found.auc_hard[i] == pytest.approx((cosines[hard[i]] < cosines[j]).mean())
        assert found.n_hard[i] == 7


def test_a_row_of_zeros_has_no_cosine(rows):
    found = score_mapped_rows(np.zeros((1, 12)), np.array([4]), rows, np.ones(300, bool), [NOTHING])
    assert np.isnan(found.cosine[0])


def test_no_pairs_have_no_scores(rows):
    found = score_mapped_rows(np.empty((0, 12)), NOTHING, rows, np.ones(300, bool), [])
    assert {len(column) for column in found} == {0}


def test_hard_negatives_fire_as_often_on_like_tokens():
    counts = np.array([100, 60, 40, 210, 150, 0, 101])
    top = [("a", "b"), ("b", "c"), ("a",), ("a",), ("a", "b"), ("a",), ("x",)]
    assert hard_negatives(0, counts, top).tolist() == [
        4,
        1,
    ]  # 40 and 210 are too far, 0 is dead, "x" is no shared token
    assert hard_negatives(6, counts, top).tolist() == []


def test_an_area_counts_ties_half():
    assert area(1.0, np.array([0.0, 1.0, 2.0, 1.0])) == 0.5
    assert np.isnan(area(1.0, np.array([])))


@pytest.mark.parametrize("d_y", [12, 15])
def test_between_rotated_streams_rows_are_their_partners(rows, d_y):
    x, _ = streams(d_x=12)
    y = rotated(x, d_y)
    moments = paired_moments(x, y)
    basis = np.linalg.lstsq(x.numpy() - x.numpy().mean(0), y.numpy() - y.numpy().mean(0), rcond=None)[0]
    partner = np.random.default_rng(5).permutation(300)
    rows_b = np.empty((300, d_y))
    rows_b[partner] = 0.3 * rows @ basis
    for fitted in (rotation_map(moments), ridge_map(principal_moments(moments), 1e-6)):
        found = score_mapped_rows(rows @ fitted.weight.numpy(), partner, rows_b, np.ones(300, bool), [NOTHING] * 300)
        np.testing.assert_allclose(found.cosine, 1, atol=1e-6)
        assert (found.rank == 1).all()
