import numpy as np
import pytest
import torch

from analogue.transfer import effect_correlations, effect_size, log_probability_change, ranks, retrieval


def effects(n=40, vocab=500, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, vocab)) * rng.uniform(0.1, 9, (n, 1)) + rng.standard_normal((n, 1))


def test_the_change_of_log_probabilities_is_that_of_a_softmax():
    rng = np.random.default_rng(0)
    logits, base = rng.standard_normal((3, 50)) * 4, rng.standard_normal(50) * 4
    found = log_probability_change(torch.tensor(logits, dtype=torch.float32), torch.tensor(base, dtype=torch.float32))
    p, q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True), np.exp(base) / np.exp(base).sum()
    np.testing.assert_allclose(found.numpy(), np.log(p) - np.log(q), atol=1e-5)
    assert found.dtype == torch.float64


def test_correlations_are_numpys():
    a, b = effects(), effects(seed=1)
    np.testing.assert_allclose(effect_correlations(a, b), np.corrcoef(a, b)[:40, 40:], atol=1e-12)
    np.testing.assert_allclose(effect_size(a), np.sqrt((a**2).mean(1)))


def test_equal_effects_are_found_always():
    a = effects()
    found = retrieval(effect_correlations(a, 3 * a + 1), n_null=99)
    assert (found.top_1, found.top_5, found.mean_reciprocal_rank, found.n_pairs) == (1, 1, 1, 40)
    assert found.correlation == pytest.approx(1)
    assert found.p_value == 0.01
    assert found.chance == 1 / 40


def test_unrelated_effects_are_at_chance():
    found = [retrieval(effect_correlations(effects(seed=i), effects(seed=100 + i)), n_null=99) for i in range(50)]
    n = 50 * 40
    for k, name in ((1, "top_1"), (5, "top_5")):
        chance = k / 40
        assert abs(np.mean([getattr(each, name) for each in found]) - chance) < 4 * np.sqrt(chance * (1 - chance) / n)
    below = np.mean([each.p_value <= 0.2 for each in found])
    assert abs(below - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 50)


def test_effects_that_are_all_alike_retrieve_at_chance():
    a = np.tile(effects(n=1), (40, 1))
    correlations = np.ones_like(effect_correlations(a, a))
    found = retrieval(correlations)
    assert found.top_1 == pytest.approx(1 / 40)
    assert found.top_5 == pytest.approx(5 / 40)
    assert found.p_value == 1


def test_an_opposite_effect_is_found_out():
    a = effects()
    b = a.copy()
    b[11] *= -1
    correlations = effect_correlations(a, b)
    assert correlations[11, 11] == pytest.approx(-1)
    assert ranks(correlations)[11] == 40
    assert retrieval(correlations).top_1 == pytest.approx(39 / 40)


def test_a_constant_effect_has_no_correlation_and_is_left_out():
    a = effects()
    b = a.copy()
    b[5] = 2.0
    correlations = effect_correlations(a, b)
    assert np.isnan(correlations[:, 5]).all()
    assert np.isnan(ranks(correlations)[5])
    assert retrieval(correlations).n_pairs == 39


@pytest.mark.parametrize("n", [0, 1])
def test_one_pair_retrieves_nothing(n):
    found = retrieval(np.ones((n, n)))
    assert found.n_pairs == n
    assert np.isnan(found.top_1)


def test_a_seed_decides_the_p_value():
    correlations = effect_correlations(effects(), effects() + effects(seed=2) * 8)
    assert retrieval(correlations, 199, 0) == retrieval(correlations, 199, 0)
