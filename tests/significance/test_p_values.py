import numpy as np
import pytest

from analogue.significance import benjamini_hochberg, p_value, p_value_published


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


@pytest.mark.parametrize("seed", range(5))
def test_correction_equals_the_step_up_procedure_written_out(seed):
    p = np.round(np.random.default_rng(seed).random(30) ** 2, 2)
    steps = [[each * len(p) / (p <= each).sum() for each in p if each >= own] for own in p]
    np.testing.assert_allclose(benjamini_hochberg(p), [min(*larger, 1.0) for larger in steps], rtol=1e-12)


def test_nan_stays_and_is_not_counted():
    adjusted = benjamini_hochberg([0.01, np.nan, 0.04, np.nan])
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.04, np.nan])


def test_nothing_to_correct():
    assert benjamini_hochberg([]).shape == (0,)
    assert np.isnan(benjamini_hochberg([np.nan])).all()


@pytest.mark.parametrize("bad", [[0.1, 1.2], [-0.1], [[0.1], [0.2]]])
def test_bad_p_values(bad):
    with pytest.raises(ValueError, match=r"expected a sequence of p-values in \[0, 1\], got"):
        benjamini_hochberg(bad)
