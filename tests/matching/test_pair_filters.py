"""Feature pairs, the pairing rule, the filters and their funnel, on cases small enough to check by hand."""

from functools import partial

import numpy as np
import pytest

from analogue.features import FeatureActivations, TopTokens
from analogue.matching import (
    FeaturePairs,
    apply_filters,
    best_partners,
    drop_non_concept,
    max_correlation,
    minimum_correlation,
    minimum_firing_count,
    one_to_one,
    require_shared_token,
)


def make_pairs(a: list[int], b: list[int], correlation: list[float] | None = None, n_active: int = 9) -> FeaturePairs:
    n = len(a)
    counts = np.full(n, n_active, dtype=np.int64)
    correlation = [0.5] * n if correlation is None else correlation
    return FeaturePairs(np.array(a), np.array(b), np.array(correlation), counts, counts, np.full(n, "", dtype=np.str_))


def tokens(*strings: tuple[str, ...]) -> TopTokens:
    return TopTokens(np.full((len(strings), 5), -1), list(strings))


TOP_A = tokens((" king", " queen"), (" cat", "."), (" run",), ())
TOP_B = tokens((" queen", " hat"), (" cat", " dog"), (" sun", ","))


def test_drop_keeps_the_first_reason_and_its_full_name() -> None:
    pairs = make_pairs([0, 1, 2], [0, 1, 2])
    dropped = pairs.drop(np.array([True, False, False]), "x").drop(np.array([True, True, False]), "a_longer_name")
    assert dropped.dropped_by.tolist() == ["x", "a_longer_name", ""]
    assert dropped.kept.tolist() == [False, False, True]
    assert (dropped.n_kept, len(dropped), pairs.n_kept) == (1, 3, 3)
    assert dropped.kept_pairs().feature_a.tolist() == [2]


def test_pairs_refuse_what_is_no_pair() -> None:
    with pytest.raises(ValueError, match="one length"):
        make_pairs([0, 1], [0])
    with pytest.raises(ValueError, match="got NaN for 1"):
        make_pairs([0, 1], [0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match="boolean mask of 2 pairs, got int64"):
        make_pairs([0, 1], [0, 1]).drop(np.array([0, 1]), "x")
    with pytest.raises(ValueError, match="name of a filter"):
        make_pairs([0], [0]).drop(np.array([True]), "")


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_max_correlation_pairs_every_live_feature_of_the_claiming_side(direction: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random((60, d)) * (rng.random((60, d)) < 0.2) for d in (12, 7))
    a[:, 3], b[:, [0, 5]] = 0, 0
    acts_a, acts_b = FeatureActivations.from_dense(a), FeatureActivations.from_dense(b)
    pairs = max_correlation(acts_a, acts_b, direction)
    claiming, claimed = pairs.feature_a, pairs.feature_b
    if direction == "b_to_a":
        claiming, claimed = claimed, claiming
    partners = best_partners(acts_a, acts_b, direction=direction)
    dead = {"a_to_b": {3}, "b_to_a": {0, 5}}[direction]
    assert claiming.tolist() == [i for i in range(len(partners.indices)) if i not in dead]
    np.testing.assert_array_equal(claimed, partners.indices[claiming, 0])
    np.testing.assert_array_equal(pairs.correlation, partners.correlations[claiming, 0])
    np.testing.assert_array_equal(pairs.n_active_a, (a > 0).sum(axis=0)[pairs.feature_a])
    np.testing.assert_array_equal(pairs.n_active_b, (b > 0).sum(axis=0)[pairs.feature_b])
    assert pairs.kept.all()


def test_max_correlation_without_live_features_or_direction() -> None:
    dead = FeatureActivations.from_dense(np.zeros((4, 3)))
    pairs = max_correlation(dead, dead)
    assert len(pairs) == 0
    assert drop_non_concept(pairs, TOP_A, TOP_B, {"."}).n_kept == 0
    assert one_to_one(pairs).n_kept == 0
    with pytest.raises(ValueError, match="direction=both: is not an option"):
        max_correlation(dead, dead, "both")  # type: ignore[arg-type]


def test_tokens_without_a_letter_of_any_script_are_no_concept() -> None:
    strings = [" king", "\u0434\u0430", "\u65e5", "\n\n", " (", "1984", ' "', "<0xE2><0x80>", "s"]
    top = tokens(*((string,) for string in strings))
    pairs = make_pairs([*range(9)], [*range(9)])
    kept = [True, True, True, False, False, False, False, False, True]
    assert drop_non_concept(pairs, top, top, {"."}, "no_letter").kept.tolist() == kept
    assert drop_non_concept(pairs, top, top, {".", "s"}, "no_letter").kept.tolist() == [*kept[:-1], False]
    assert drop_non_concept(pairs, top, top, {"."}).kept.all()
    with pytest.raises(ValueError, match="non_concept=letters: is not an option; choose from listed, no_letter"):
        drop_non_concept(pairs, top, top, {"."}, "letters")


def test_drop_non_concept_looks_at_every_token_of_both_sides() -> None:
    pairs = make_pairs([0, 1, 2, 3, 2], [0, 1, 2, 1, 1])
    assert drop_non_concept(pairs, TOP_A, TOP_B, {".", ","}).kept.tolist() == [True, False, False, True, True]
    assert drop_non_concept(pairs, TOP_A, TOP_B, {"king"}).kept.all()  # exact strings, not words
    with pytest.raises(ValueError, match="collection of token strings"):
        drop_non_concept(pairs, TOP_A, TOP_B, ".,")


def test_require_shared_token() -> None:
    pairs = make_pairs([0, 1, 2, 3], [0, 1, 1, 1])
    assert require_shared_token(pairs, TOP_A, TOP_B).kept.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("best", [False, True, False, True, False, True]),
        ("first", [True, False, False, True, False, True]),
        ("strict", [False, False, False, False, False, True]),
    ],
)
def test_one_to_one(keep: str, expected: list[bool]) -> None:
    pairs = make_pairs([0, 1, 2, 3, 4, 5], [7, 7, 7, 8, 8, 9], [0.2, 0.9, 0.9, 0.4, 0.4, -0.1])
    assert one_to_one(pairs, keep).kept.tolist() == expected  # type: ignore[arg-type]


def test_one_to_one_counts_kept_pairs_only_and_both_sides() -> None:
    pairs = make_pairs([0, 1, 2], [7, 7, 7], [0.9, 0.5, 0.6]).drop(np.array([True, False, False]), "x")
    assert one_to_one(pairs).kept.tolist() == [False, False, True]
    assert one_to_one(make_pairs([3, 3, 4], [1, 2, 2], [0.5, 0.6, 0.7])).kept.tolist() == [True, False, True]
    chain = make_pairs([3, 3, 4, 5], [1, 2, 2, 7]).drop(np.array([True, False, False, False]), "x")
    assert one_to_one(chain, "strict").kept.tolist() == [False, False, False, True]
    assert one_to_one(make_pairs([], []), "strict").n_kept == 0
    with pytest.raises(ValueError, match="keep=last: is not an option"):
        one_to_one(pairs, "last")  # type: ignore[arg-type]


def test_thresholds_include_their_bound() -> None:
    pairs = make_pairs([0, 1, 2], [0, 1, 2], [0.1, 0.0999, -0.3])
    assert minimum_correlation(pairs, 0.1).kept.tolist() == [True, False, False]
    counts = FeaturePairs(
        *(np.arange(3), np.arange(3), np.ones(3), np.array([5, 4, 9]), np.array([5, 9, 4])), np.full(3, "", dtype=str)
    )
    assert minimum_firing_count(counts, 5).kept.tolist() == [True, False, False]


def test_funnel_names_what_dropped_each_pair() -> None:
    pairs = make_pairs([0, 1, 2, 3], [0, 1, 1, 0], [0.9, 0.8, 0.05, 0.3])
    filters = [
        ("concepts", partial(drop_non_concept, top_a=TOP_A, top_b=TOP_B, non_concept_tokens={"."})),
        ("r", partial(minimum_correlation, threshold=0.1)),
        ("one", partial(one_to_one, keep="first")),
    ]
    filtered, funnel = apply_filters(pairs, filters)
    assert funnel == [("paired", 4), ("concepts", 3), ("r", 2), ("one", 1)]
    assert filtered.dropped_by.tolist() == ["", "concepts", "r", "one"]
    assert apply_filters(pairs, [])[1] == [("paired", 4)]


def test_a_filter_only_marks() -> None:
    pairs = make_pairs([0, 1], [0, 1]).drop(np.array([True, False]), "x")
    with pytest.raises(ValueError, match="'removes'"):
        apply_filters(pairs, [("removes", FeaturePairs.kept_pairs)])
    with pytest.raises(ValueError, match="'revives'"):
        apply_filters(pairs, [("revives", lambda _: make_pairs([0, 1], [0, 1]))])
