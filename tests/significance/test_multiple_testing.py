import numpy as np
import pytest
from scipy.stats import false_discovery_control

from analogue.significance import benjamini_hochberg


@pytest.mark.parametrize("seed", range(5))
def test_matches_scipy(seed):
    p = np.round(np.random.default_rng(seed).random(30) ** 2, 2)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)


def test_nan_stays_and_is_not_counted():
    adjusted = benjamini_hochberg([0.01, np.nan, 0.04, np.nan])
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.04, np.nan])


def test_nothing_to_correct():
    assert benjamini_hochberg([]).shape == (0,)
    assert np.isnan(benjamini_hochberg([np.nan])).all()


@pytest.mark.parametrize("bad", [[0.1, 1.2], [-0.1], [[0.1], [0.2]]])
def test_bad_input(bad):
    with pytest.raises(ValueError, match=r"expected a sequence of p-values in \[0, 1\], got"):
        benjamini_hochberg(bad)
