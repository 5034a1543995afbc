import numpy as np
import pytest
import torch

from analogue.features import TokenNorms, outliers


@pytest.mark.parametrize("factor", [1.5, 10, 100])
def test_outliers_have_more_than_so_many_times_the_median_norm(factor):
    norms = np.random.default_rng(0).lognormal(3, 2, 999).astype(np.float32)
    expected = [norm / sorted(norms)[499] > factor for norm in norms]
    assert outliers(norms, factor).tolist() == expected
    assert outliers(7 * norms, factor).tolist() == expected
    assert 0 < sum(expected) < 500


def test_of_no_tokens_none_is_an_outlier():
    assert outliers(np.zeros(0), 10).tolist() == []


def test_norms_are_one_feature():
    read = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.bfloat16)
    norms = TokenNorms(2)
    assert norms.encode(read).tolist() == [[5.0], [0.0]]
    assert norms.decode(norms.encode(read)).shape == (2, 2)
