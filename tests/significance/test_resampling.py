import numpy as np
import pytest

from analogue.significance import draw_scores, random_pairs, random_subset, score_against_draws
from analogue.similarity import metric, rsa, svcca
from tests.similarity.planted import planted_pair

X, Y = planted_pair()
ALL = np.arange(len(X))


def test_random_pairs_are_different_features_of_the_whole_spaces():
    own = np.arange(400.0)[:, None]
    draw = random_pairs(own, -own, 30, features_a=np.arange(100), features_b=np.arange(200, 300))
    seen_a, seen_b = set(), set()
    for seed in range(20):
        x, y = (side.ravel() for side in draw(np.random.default_rng(seed)))
        assert len(set(x)) == len(set(y)) == 30
        seen_a |= set(x)
        seen_b |= set(-y)
    assert seen_a <= set(range(100))
    assert seen_b <= set(range(200, 300))
    assert len(seen_a) > 90


def test_random_subsets_are_paired_as_asked_and_of_the_sizes_asked():
    sizes = []

    def pair_first(subset_a, subset_b):
        sizes.append((len(subset_a), len(subset_b)))
        assert (np.diff(subset_a) > 0).all()
        return subset_a[:5], subset_b[:5]

    draw = random_subset(X, Y, 20, 30, pair_first, ALL, ALL[50:])
    x, y = draw(np.random.default_rng(0))
    assert (x.shape, y.shape) == ((5, 24), (5, 32))
    assert sizes == [(20, 30)]


def test_draws_equal_the_naive_loop_and_depend_on_seed_and_index_alone():
    draw = random_pairs(X, Y, 40, ALL, ALL)
    scores, n_pairs = draw_scores(draw, [metric("svcca"), metric("rsa")], 6, seed=3)
    for i in range(6):
        x, y = draw(np.random.default_rng([3, i]))
        assert scores["svcca"][i] == pytest.approx(svcca(x, y), abs=1e-12)
        assert scores["rsa"][i] == pytest.approx(rsa(x, y), abs=1e-12)
    assert n_pairs.tolist() == [40] * 6
    alone, _ = draw_scores(draw, [metric("rsa")], 3, seed=3)
    np.testing.assert_allclose(alone["rsa"], scores["rsa"][:3], atol=1e-12)


def test_planted_geometry_is_found_and_unrelated_is_not():
    draw = random_pairs(X, Y, 60, ALL, ALL)
    for result in score_against_draws(X[:60], Y[:60], ["rsa", "cka_debiased"], draw, "random_pairs", 39, seed=0):
        assert result.null == "random_pairs"
        assert result.p_value == 1 / 40
        assert result.warnings == []
    for result in score_against_draws(X[:60], Y[60:120], ["rsa", "cka_debiased"], draw, "random_pairs", 39, seed=0):
        assert result.p_value > 1 / 40


def test_draws_of_other_sizes_are_a_warning_and_those_too_small_count_against_the_score():
    def draw(generator):
        n = int(generator.integers(1, 6))
        return X[:n], Y[:n]

    (result,) = score_against_draws(X[:50], Y[:50], ["rsa"], draw, "random_subset", 40, seed=0)
    n_small = int(sum(np.random.default_rng([0, i]).integers(1, 6) < 3 for i in range(40)))
    assert 0 < n_small < 40
    assert result.p_value >= (1 + n_small) / 41
    assert result.warnings[0].startswith(f"{n_small} of 40 draws have no score")
    assert result.warnings[1].startswith("draws of random_subset have ")
    assert result.warnings[1].endswith("pairs on average, the score 50")


def test_too_few_pairs_are_not_drawn_for():
    def never(generator):
        raise AssertionError

    (result,) = score_against_draws(X[:2], Y[:2], ["rsa"], never, "random_subset", 10, seed=0)
    assert (result.score, result.null, result.reason) == (None, "random_subset", "2 pairs are left, 3 are needed")


def test_progress_is_reported():
    n_done: list[int] = []
    draw = random_pairs(X, Y, 20, ALL, ALL)
    score_against_draws(X[:20], Y[:20], ["svcca_pc1"], draw, "random_pairs", 3, seed=0, progress=n_done.append)
    assert n_done == [1, 2, 3]


def test_bad_input():
    with pytest.raises(ValueError, match="expected 9 features of B to draw from, got 8"):
        random_pairs(X, Y, 9, ALL, ALL[:8])
    with pytest.raises(ValueError, match="expected 9 features of A to draw from, got 3"):
        random_subset(X, Y, 9, 2, lambda a, b: (a, b), ALL[:3], ALL)
    with pytest.raises(ValueError, match="at least 1 draw, got 0"):
        draw_scores(random_pairs(X, Y, 9, ALL, ALL), [metric("rsa")], 0, seed=0)
