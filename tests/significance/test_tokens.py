"""Scores of paired features by their activations."""

import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.significance import permuted_tokens, sample_tokens, score_on_tokens, score_streams
from analogue.significance.tokens import SAMPLED_TOKENS
from analogue.similarity import METRICS

LENGTHS = np.full(10, 40)
FROM_MOMENTS = ["svcca", "svcca_pc1", "cka", "procrustes"]


def pair(n: int = 400, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Sparse activations of other scales that share half of their features; means are far from 0."""
    r = np.random.default_rng(0)
    a = (r.random((n, d)) < 0.3) * r.gamma(2, 1, (n, d)) * np.exp(r.standard_normal(d))
    b = (r.random((n, d)) < 0.2) * r.gamma(2, 1, (n, d)) * np.exp(r.standard_normal(d))
    b[:, : d // 2] = a[:, : d // 2] * r.uniform(0.5, 1.5, (n, d // 2))
    a[:, 0] += 5
    return a.astype(np.float32), b.astype(np.float32)


def moments(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = x - x.mean(0), y - y.mean(0)
    return x.T @ x, y.T @ y, x.T @ y


@pytest.mark.parametrize("name", FROM_MOMENTS)
def test_moments_stand_for_matrices_of_many_rows(name):
    a, b = (side.astype(np.float64) for side in pair())
    b[:, 3] = b[:, 4]  # and for those of lower rank
    xx, yy, xy = moments(a, b)
    assert METRICS[name].from_moments(xx, yy)(xy) == pytest.approx(METRICS[name](a, b), abs=1e-8)
    order = np.random.default_rng(1).permutation(len(b))
    _, _, xy = moments(a, b[order])
    assert METRICS[name].from_moments(xx, yy)(xy) == pytest.approx(METRICS[name](a, b[order]), abs=1e-8)


def test_a_side_without_variance_has_no_score_from_moments():
    nothing, something = np.zeros((3, 3)), np.eye(3)
    for name in FROM_MOMENTS:
        assert np.isnan(METRICS[name].from_moments(something, nothing)(nothing))
    assert {name for name, each in METRICS.items() if each.from_moments} == set(FROM_MOMENTS)


def test_scores_and_draws_are_those_of_dense_activations():
    a, b = pair()
    features = np.array([3, 0, 7, 1, 11, 5]), np.array([3, 0, 9, 1, 10, 5])
    acts = (FeatureActivations.from_dense(side) for side in (a, b))
    names = [*FROM_MOMENTS, "rsa", "cka_debiased", "mutual_knn"]
    x, y = a[:, features[0]].astype(float), b[:, features[1]].astype(float)
    for result in score_on_tokens(*acts, *features, names, LENGTHS, 5, seed=3):
        assert result.score == pytest.approx(METRICS[result.metric](x, y), abs=1e-8)
        orders = [permuted_tokens(LENGTHS, np.random.default_rng([3, i])) for i in range(5)]
        np.testing.assert_allclose(result.draws, [METRICS[result.metric](x, y[order]) for order in orders], atol=1e-7)
        assert (result.on, result.null, result.n_pairs) == ("activations", "permuted_sequences", 6)
        assert not result.warnings


def test_other_metrics_see_a_sample_of_many_tokens_and_say_so():
    a, b = pair(3000)
    acts = [FeatureActivations.from_dense(side) for side in (a, b)]
    svcca, rsa = score_on_tokens(*acts, np.arange(12), np.arange(12), ["svcca", "rsa"], np.full(30, 100), 19, seed=0)
    assert svcca.warnings == []
    assert rsa.warnings == ["on 2040 of 3000 tokens, drawn at random"]
    assert rsa.score == pytest.approx(METRICS["rsa"](a, b), abs=0.03)
    sample = sample_tokens(np.full(30, 100), SAMPLED_TOKENS, 0)
    x, y = a[sample.rows].astype(float), b[sample.rows].astype(float)
    orders = [permuted_tokens(sample.lengths, np.random.default_rng([0, i])) for i in range(3)]
    np.testing.assert_allclose(rsa.draws[:3], [METRICS["rsa"](x, y[order]) for order in orders], atol=1e-9)
    assert svcca.p_value == rsa.p_value == 0.05


def test_one_sequence_has_scores_and_no_p_values_and_no_pairs_no_scores():
    acts = [FeatureActivations.from_dense(side) for side in pair()]
    (alone,) = score_on_tokens(*acts, np.arange(3), np.arange(3), ["cka"], np.array([400]), 19, seed=0)
    assert (alone.n_null, alone.p_value) == (0, None)
    assert alone.to_dict()["null_mean"] is None
    assert alone.score > 0.5
    (none,) = score_on_tokens(*acts, np.arange(0), np.arange(0), ["cka"], LENGTHS, 19, seed=0)
    assert (none.score, none.reason) == (None, "no pairs are left whose activations could be compared")
    with pytest.raises(ValueError, match="expected a draw"):
        score_on_tokens(*acts, np.arange(3), np.arange(3), ["cka"], LENGTHS, 0, seed=0)


@pytest.mark.parametrize("lengths", [np.full(300, 70), np.array([0, 500, 3, 90, 1, 4000, 77]), np.array([5000])])
def test_a_sample_holds_the_same_positions_of_every_sequence(lengths):
    sample = sample_tokens(lengths, 512, seed=1)
    assert len(sample.rows) == sample.lengths.sum() <= 512
    sequence = np.searchsorted(np.cumsum(lengths), sample.rows, side="right")
    position = sample.rows - (np.cumsum(lengths) - lengths)[sequence]
    used, wanted = np.unique(position), np.unique(sequence)
    expected = [(each, p) for each in wanted for p in used if p < lengths[each]]
    assert list(zip(sequence, position, strict=True)) == expected
    assert len(sample.rows) > 512 - len(wanted)  # as many positions as fit
    assert len(sample.lengths) == min(np.count_nonzero(lengths), 512 // 16)  # a short one may have none of them


def test_few_tokens_are_all_in_the_sample():
    rows, lengths = sample_tokens([3, 0, 4], 16, seed=0)
    assert (rows.tolist(), lengths.tolist()) == (list(range(7)), [3, 0, 4])


def test_streams_are_scored_as_dense_rows_are_and_rotations_change_nothing():
    a, b = pair()
    x, y = 100 + a, b - 3  # far from the origin
    names = [*FROM_MOMENTS, "rsa", "cka_debiased"]
    found = score_streams(x, y, names, LENGTHS, 5, seed=3)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))[0]
    rotated = score_streams(x @ rotation, y, names, LENGTHS, 5, seed=3)
    orders = [permuted_tokens(LENGTHS, np.random.default_rng([3, i])) for i in range(5)]
    for result, again in zip(found, rotated, strict=True):
        expected = METRICS[result.metric](x.astype(float), y.astype(float))
        assert result.score == pytest.approx(expected, abs=1e-6) == pytest.approx(again.score, abs=1e-5)
        drawn = [METRICS[result.metric](x.astype(float), y[order].astype(float)) for order in orders]
        np.testing.assert_allclose(result.draws, drawn, atol=1e-6)
        assert (result.on, result.null, result.n_pairs) == ("residual", "permuted_sequences", 400)
    with pytest.raises(ValueError, match="equally many tokens"):
        score_streams(x, y[:-1], names, LENGTHS, 5, seed=3)


def test_a_sample_of_streams_says_of_how_many_tokens():
    a, b = pair(3000)
    svcca, rsa = score_streams(a, b, ["svcca", "rsa"], np.full(30, 100), 19, seed=0, n_of=10**6)
    assert svcca.warnings == ["on 3000 of 1000000 tokens, drawn at random"]
    assert (svcca.n_pairs, rsa.n_pairs) == (3000, 2040)
    assert svcca.p_value == rsa.p_value == 0.05
