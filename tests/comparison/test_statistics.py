"""Pairing rules, nulls, metrics of one's own and semantic subspaces, from configuration to record."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from analogue.errors import UserError
from analogue.matching import RULES
from analogue.options import MetricName, PairingRuleName
from analogue.similarity import METRICS

SAME_MODEL = ("model_b=stories_6", "sae_b=stories_6", "layer_b=4")


def mean_absolute_difference(x, y):
    """A metric as a user might write it."""
    return -float(np.abs(x.mean(axis=0)[:2] - y.mean(axis=0)[:2]).mean())


def test_the_configuration_knows_every_rule():
    assert [*PairingRuleName] == list(RULES)
    assert [*MetricName] == list(METRICS)


@pytest.mark.parametrize("rule", ["mutual", "greedy", "hungarian"])
def test_one_to_one_rules_leave_nothing_to_the_one_to_one_filter(compare, rule):
    result = compare(f"matching={rule}", "filters=none", "filters.one_to_one=strict")
    assert result.rule == rule
    counts = {step["filter"]: step["n_pairs"] for step in result.funnel}
    assert counts["one_to_one"] == counts["paired"] > 50


def test_direction_decides_who_claims(compare):
    forward, backward = (compare(f"matching.direction={way}", "filters=none") for way in ("a_to_b", "b_to_a"))
    assert forward.funnel[0]["n_pairs"] == forward.side_a.n_live_features
    assert backward.funnel[0]["n_pairs"] == backward.side_b.n_live_features


def test_cosine_pairs_the_decoders_of_one_model(compare, tmp_path):
    result = compare("matching=cosine", "model_b=stories_6", "sae_b=stories_6", "layer_b=3", "filters=none")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    assert pairs["feature_a"].to_pylist() == pairs["feature_b"].to_pylist()
    assert result.rule == "cosine"


def test_cosine_of_different_widths_is_refused(compare):
    with pytest.raises(UserError, match=r"matching.rule=cosine: .* width 96 and 128"):
        compare("matching=cosine")


def test_every_null_is_in_the_record_and_in_the_draws(compare, tmp_path):
    result = compare("null.kinds=[shuffle,random_pairs,rotated]", "metrics=[svcca_pc1,rsa]")
    tested = [(entry["metric"], entry["null"]) for entry in result.similarity]
    assert tested == [
        ("svcca_pc1", "shuffle"),
        ("rsa", "shuffle"),
        ("svcca_pc1", "random_pairs"),
        ("rsa", "random_pairs"),
        ("mean_correlation", "rotated"),
    ]
    assert {entry["n_null"] for entry in result.similarity} == {19}
    draws = pq.read_table(tmp_path / "run" / "nulls.parquet")
    labels = ["svcca_pc1", "rsa", "svcca_pc1_vs_random_pairs", "rsa_vs_random_pairs", "mean_correlation_vs_rotated"]
    assert (draws.column_names, draws.num_rows) == (labels, 19)
    rotated = result.similarity[-1]
    assert rotated["score"] == pytest.approx(result.correlation["mean_kept"])
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    excess = pairs.filter(pairs["kept"])["excess_correlation"].to_numpy()
    assert excess.mean() == pytest.approx(rotated["score"] - rotated["null_mean"])
    assert pairs["excess_correlation"].null_count == len(pairs) - result.n_kept


def test_every_pair_is_tested_against_permuted_sequences(compare, tmp_path):
    result = compare("null.kinds=[shuffle,permuted_sequences]", "metrics=[rsa]", "null.n=60")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet").to_pandas()
    assert pairs.p_value.between(1e-6, 1).all()
    assert (pairs.q_value >= pairs.p_value).all()
    evidence = result.evidence
    sides = [evidence[label] for label in "ab"]
    assert [side["n_tested"] for side in sides] == [result.side_a.n_live_features, result.side_b.n_live_features]
    assert sides[0]["n_beyond_chance"] == (pairs.q_value <= 0.05).sum()
    assert 100 < sides[0]["n_beyond_chance"] < sides[0]["n_tested"]
    assert evidence["n_kept_beyond_chance"] == (pairs[pairs.kept].q_value <= 0.05).sum() < evidence["n_kept"]
    assert (evidence["n_null"], evidence["n_sequences"], evidence["pooled"]) == (60, 12, True)
    filtered = compare("filters.maximum_q_value=0.05", "metrics=[rsa]", "null.n=60")
    names = [step["filter"] for step in filtered.funnel]
    assert names.index("maximum_q_value") == names.index("one_to_one") - 1
    assert filtered.evidence["n_kept"] == filtered.evidence["n_kept_beyond_chance"] == filtered.n_kept
    own = compare("null.kinds=[permuted_sequences]", "null.pooled=false", "null.n=60")
    assert (own.evidence["pooled"], own.similarity) == (False, [])
    assert pq.read_table(tmp_path / "run" / "pairs.parquet")["p_value"].to_numpy().min() >= 1 / 61


@pytest.mark.parametrize("rule", ["mutual", "greedy", "hungarian", "optimal_transport"])
def test_other_rules_are_tested_too(compare, rule):
    result = compare("null.kinds=[permuted_sequences]", f"matching={rule}", "data.n_sequences=10", "data.seq_len=40")
    assert result.evidence["a"]["n_beyond_chance"] > 20
    assert result.evidence["a"]["n_tested"] == result.side_a.n_live_features


def test_one_sequence_is_no_evidence(compare):
    result = compare("null.kinds=[shuffle,permuted_sequences]", "data.n_sequences=1")
    assert result.evidence["n_null"] == 0
    assert any("one sequence of text cannot be permuted" in warning for warning in result.warnings)
    with pytest.raises(UserError, match=r"filters.maximum_q_value=0.05: needs q-values"):
        compare("filters.maximum_q_value=0.05", "data.n_sequences=1")


def test_random_pairs_need_as_many_features_as_pairs(compare):
    entries = compare("null.kinds=[random_pairs]", "filters=none", "matching.direction=b_to_a").similarity
    assert all(entry["score"] is None and "filters.one_to_one" in entry["reason"] for entry in entries)


def test_a_metric_of_ones_own(compare):
    function = "{_target_: hydra.utils.get_method, path: tests.comparison.test_statistics.mean_absolute_difference}"
    own = f"{{_target_: analogue.similarity.Metric.from_function, name: mine, function: {function}}}"
    entry = compare(f"metrics=[{own}]").similarity[0]
    assert entry["metric"] == "mine"
    assert entry["score"] <= 0


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("metrics=[rsa,rsa]", "metrics=.*twice"),
        ("metrics=[{_target_: no.such.metric}]", "metrics=.*cannot be made"),
        ("metrics=[{_target_: builtins.dict}]", "metrics=.*makes no metric"),
        ("null.kinds=[]", "null.kinds"),
        ("concepts=paper concepts.n=0", "concepts.n=0"),
        ("+concepts.keywords.Empty=[]", "concepts.keywords.Empty"),
    ],
)
def test_wrong_settings_are_one_sentence(compare, tmp_path, override, told):
    with pytest.raises(UserError, match=told):
        compare(*override.split(" ") if "concepts=" in override else [override])
    assert not (tmp_path / "run").exists()


def test_semantic_subspaces_get_both_tests(compare, tmp_path):
    own = "+concepts.keywords={Family: [mother, mom, father, dad, sister, brother], Sea: [sea, ship, boat, wave]}"
    result = compare(own, "metrics=[rsa]", "concepts.n=39", "data.n_sequences=60")
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record["concepts"] == result.concepts
    assert [concept["name"] for concept in result.concepts] == ["Family", "Sea"]
    assert record["concept_pairing"] == {
        "rule": "max_correlation",
        "one_to_one": "best",
        "filters": [],
        "fragments": False,
        "split_at_spaces": False,
    }
    for concept in result.concepts:
        assert 0 < concept["n_pairs"] <= min(concept["n_features_a"], concept["n_features_b"])
        assert [entry["null"] for entry in concept["similarity"]] == ["shuffle", "random_subset"]
        assert {entry["n_pairs"] for entry in concept["similarity"]} == {concept["n_pairs"]}
    family = result.concepts[0]
    assert set(family["keyword_counts_a"]) & set(family["keyword_counts_b"])


def test_dictionaries_of_one_stream_are_compared(compare):
    same = ("model_b=stories_6", "sae_b=stories_6", "layer_b=3", "metrics=[rsa]")
    found = compare(*same, "consistency_threshold=0.7").consistency
    assert (found["pw_mcc"], found["assigned_share"]) == pytest.approx((1, 1))
    assert found["floor"]["pw_mcc"] == pytest.approx(0.33, abs=0.05)
    assert found["floor"]["best_share_a"] == 0
    assert compare(*same).consistency is None
    with pytest.raises(
        UserError, match=r"consistency_threshold=0.7: compares decoder rows of one residual stream, but"
    ):
        compare(*SAME_MODEL, "consistency_threshold=0.7")


def test_metrics_on_activations_are_named_so(compare, tmp_path):
    result = compare("metrics_on=[decoder,activations]", "metrics=[svcca,cka]")
    tested = [(entry["metric"], entry["on"], entry["null"]) for entry in result.similarity]
    assert tested[:2] == [("svcca", "decoder", "shuffle"), ("cka", "decoder", "shuffle")]
    assert tested[2:] == [(name, "activations", "permuted_sequences") for name in ("svcca", "cka")]
    assert all(entry["p_value"] == 0.05 for entry in result.similarity[2:])
    names = pq.read_table(tmp_path / "run" / "nulls.parquet").column_names
    assert names == ["svcca", "cka", "svcca_on_activations", "cka_on_activations"]
    alone = compare("metrics_on=[activations]", "metrics=[cka]")
    assert [entry["on"] for entry in alone.similarity] == ["activations"]
    assert alone.similarity[0]["score"] == pytest.approx(result.similarity[3]["score"])
    with pytest.raises(UserError, match="metrics_on"):
        compare("metrics_on=[]")
