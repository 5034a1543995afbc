import json
import math

import numpy as np
import pytest

from analogue.significance import SimilarityResult, against_null, p_value, score_against_null
from analogue.similarity import METRICS, Metric, metric
from tests.significance.draws import shuffled
from tests.similarity.planted import planted_pair, random_pair


def test_a_result_is_made_of_its_score_and_its_null():
    x, y = planted_pair()
    (result,) = score_against_null(x, y, ["svcca_pc1"], 40, seed=5)
    null = shuffled(x, y, ["svcca_pc1"], 40, seed=5)["svcca_pc1"]
    assert result.score == metric("svcca_pc1")(x, y)
    assert (result.null, result.n_pairs, result.n_null, result.seed) == ("shuffle", 400, 40, 5)
    assert result.null_mean == pytest.approx(null.mean())
    assert result.null_sd == pytest.approx(null.std(ddof=1))
    assert result.z == pytest.approx((result.score - null.mean()) / null.std(ddof=1))
    assert result.null_interval == pytest.approx(np.percentile(null, [2.5, 97.5]))
    assert result.p_value == p_value(result.score, null)
    assert result.reason is None
    np.testing.assert_array_equal(result.draws, null)
    assert "draws" not in result.to_dict()


def test_planted_geometry_is_found_and_unrelated_geometry_is_not():
    names = ["svcca", "rsa", "cka_debiased", "procrustes", "mutual_knn"]
    x, y = planted_pair()
    for result in score_against_null(x, y, names, 19, seed=0):
        assert result.p_value == pytest.approx(1 / 20), result.metric
    unrelated = np.random.default_rng(1).standard_normal((60, 5))
    for result in score_against_null(x[:60], unrelated, names, 19, seed=0):
        assert result.p_value > 1 / 20, result.metric


def test_records_are_plain_json():
    x, y = random_pair(3)
    for result in score_against_null(x, y, list(METRICS), 3, seed=0):
        record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert record["score"] == result.score
        assert len(record["null_interval"]) == 2


def test_what_is_not_a_number_is_none_in_a_record():
    result = SimilarityResult(
        "svcca", np.float64(0.5), np.int64(3), 1, 0, null_sd=math.nan, null_interval=(0.0, math.inf)
    )
    record = result.to_dict()
    assert (record["null_sd"], record["null_interval"]) == (None, [0.0, None])
    assert type(record["score"]) is float
    assert type(record["n_pairs"]) is int


@pytest.mark.parametrize("n_pairs", [0, 1, 2])
def test_too_few_pairs_have_no_score(n_pairs):
    x, y = (side[:n_pairs] for side in random_pair(1))
    for result in score_against_null(x, y, ["svcca", "rsa"], 10, seed=0):
        assert (result.score, result.p_value, result.n_null) == (None, None, 0)
        assert result.reason == f"{n_pairs} pairs are left, 3 are needed"


def test_metrics_that_need_more_pairs_say_so():
    x, y = (side[:3] for side in random_pair(1))
    results = score_against_null(x, y, ["rsa", "cka_debiased", "svcca_cross_validated"], 10, seed=0)
    assert [result.reason for result in results] == [
        None,
        "3 pairs are left, 4 are needed",
        "3 pairs are left, 6 are needed",
    ]


def test_no_variance_has_no_score():
    x, _ = random_pair(1)
    for result in score_against_null(x, np.full((len(x), 4), 0.1), ["svcca", "rsa"], 10, seed=0):
        assert (result.score, result.z, result.n_null) == (None, None, 0)
        assert result.reason == f"a side of the {len(x)} pairs does not vary"


def test_pairs_that_vary_and_have_no_score_are_not_said_to_be_constant():
    x, y = random_pair(1)
    mine = Metric.from_function("mine", lambda a, b: float("nan"))
    (result,) = score_against_null(x, y, [mine], 10, seed=0)
    assert (result.score, result.reason) == (None, f"mine has no value for these {len(x)} pairs")


def test_a_null_that_does_not_vary_is_a_warning():
    r = np.random.default_rng(0)
    (result,) = score_against_null(*r.standard_normal((2, 12, 20)), ["cca"], 10, seed=0)
    assert (result.p_value, result.null_sd, result.z) == (1.0, 0.0, None)
    assert "a high floor: 12 pairs for 11 + 11 components, 11 of 11 canonical" in result.warnings[0]
    assert "every draw scores the same" in result.warnings[1]


def test_draws_without_a_score_are_a_warning_and_left_out_of_the_moments():
    result = against_null("mine", 0.5, np.array([0.1, np.nan, 0.3]), n_pairs=9, seed=0, null="rotated")
    assert result.null_mean == pytest.approx(0.2)
    assert result.p_value == pytest.approx(0.5)
    assert result.warnings == ["1 of 3 draws have no score; they count against the score"]
    assert result.null == "rotated"


def test_a_single_draw():
    x, y = random_pair(1)
    (result,) = score_against_null(x, y, ["rsa"], 1, seed=0)
    assert (result.null_sd, result.z, result.warnings) == (0.0, None, [])
