import numpy as np
import pytest

from analogue.significance import p_value, p_value_published


def test_both_p_values():
    null = np.array([0.1, 0.2, 0.3, 0.4])
    assert p_value(0.3, null) == pytest.approx(3 / 5)
    assert p_value_published(0.3, null) == pytest.approx(2 / 4)


def test_a_score_above_all_draws():
    null = np.zeros(99)
    assert p_value(1.0, null) == pytest.approx(0.01)
    assert p_value_published(1.0, null) == 0.0


@pytest.mark.parametrize("score", [0.7, -0.7, 1e-9, 1.0])
def test_a_draw_that_equals_the_score_up_to_rounding_counts(score):
    null = np.array([score - 1e-13, score + 1e-13, score - 1e-6])
    assert p_value_published(score, null) == pytest.approx(2 / 3)


def test_a_draw_without_a_score_counts_against_the_score():
    assert p_value(0.5, np.array([np.nan, 0.1])) == pytest.approx(2 / 3)


def test_no_score_has_no_p_value():
    assert np.isnan(p_value(np.nan, np.zeros(3)))
    assert np.isnan(p_value_published(np.nan, np.zeros(3)))


def test_no_draws():
    assert p_value(0.5, np.empty(0)) == 1.0
    assert np.isnan(p_value_published(0.5, np.empty(0)))
