"""Semantic subspaces against the same steps written out."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from analogue.concepts import FeatureSpace, TokenText, score_concepts
from analogue.features import FeatureActivations, top_tokens
from analogue.matching import best_partners, max_correlation, one_to_one
from analogue.similarity import rsa
from tests.similarity.planted import rotation

CONF = Path(__file__).parent.parent.parent / "conf" / "concepts"
WORDS = [" king", " queen", " rain", " snow", " the", "dom"]
ROYAL, WEATHER = ["King", "Queen"], ["rain", "snow", "hail"]
N_TOKENS, D_SAE = 3000, 60


def make_spaces(shared: bool = True) -> tuple[FeatureSpace, FeatureSpace, TokenText]:
    """Features that each fire on some occurrences of one word; B's are A's, permuted, their geometry rotated."""
    r = np.random.default_rng(0)
    ids = r.integers(0, len(WORDS), N_TOKENS)
    word_of = np.arange(D_SAE) % 5
    fires = (ids[:, None] == word_of) & (r.random((N_TOKENS, D_SAE)) < 0.15)
    a = fires * r.uniform(1, 2, fires.shape)
    permutation = r.permutation(D_SAE)
    b = a[:, permutation] * r.uniform(0.8, 1.2, a.shape)
    decoder = r.standard_normal((D_SAE, 8))
    other = decoder[permutation] @ rotation(8) if shared else r.standard_normal((D_SAE, 8))
    spaces = []
    for dense, rows in ((a, decoder), (b, other)):
        acts = FeatureActivations.from_dense(dense)
        spaces.append(FeatureSpace(acts, top_tokens(acts, ids, WORDS), rows))
    return *spaces, TokenText(ids, WORDS, [N_TOKENS // 2] * 2)


def written_out(a: FeatureSpace, b: FeatureSpace, text: TokenText, keywords: list[str]):
    """Features of the concept on both sides, and their pairs."""
    members = []
    for side in (a, b):
        whole = np.any([text.tokens_of(keyword) for keyword in keywords], axis=0)
        members.append([i for i, row in enumerate(side.top.positions) if whole[row[row >= 0]].any()])
    partners = best_partners(a.acts, b.acts, subset_a=members[0], subset_b=members[1])
    claims = sorted(zip(-partners.correlations[:, 0], members[0], partners.indices[:, 0].tolist(), strict=True))
    pairs: dict[int, int] = {}
    for _, i, j in claims:
        pairs.setdefault(j, i)
    return members, sorted((i, j) for j, i in pairs.items())


def test_concepts_are_found_paired_and_scored_as_written_out():
    a, b, text = make_spaces()
    royal, weather = score_concepts({"royal": ROYAL, "weather": WEATHER}, a, b, text, ["svcca", "rsa"], 19, seed=0)
    for found, keywords in ((royal, ROYAL), (weather, WEATHER)):
        members, pairs = written_out(a, b, text, keywords)
        assert (found.n_features_a, found.n_features_b, found.n_pairs) == (*map(len, members), len(pairs))
        assert found.n_pairs > 15
        x, y = a.decoder[[i for i, _ in pairs]], b.decoder[[j for _, j in pairs]]
        assert found.test("rsa", "shuffle").score == pytest.approx(rsa(x, y))
        assert [(entry.metric, entry.null) for entry in found.similarity] == [
            *(("svcca", "shuffle"), ("svcca", "random_subset"), ("rsa", "shuffle"), ("rsa", "random_subset")),
        ]
    assert royal.test("rsa", "shuffle").p_value == 1 / 20
    assert set(royal.keyword_counts_a) == {"King", "Queen"}
    assert sum(royal.keyword_counts_a.values()) == sum(royal.keyword_counts_b.values()) == royal.n_pairs
    with pytest.raises(KeyError, match="cka against shuffle"):
        royal.test("cka", "shuffle")


def test_the_second_test_draws_features_of_the_same_numbers_and_pairs_them_anew():
    # Here all features correspond, so random subspaces are as alike as the concept's, as far as they overlap.
    a, b, text = make_spaces()
    (royal,) = score_concepts({"royal": ROYAL}, a, b, text, ["rsa"], 100, seed=0)
    shuffled, drawn = royal.similarity
    assert abs(shuffled.null_mean) < 0.05
    assert 0.05 < drawn.null_mean < royal.test("rsa", "random_subset").score
    a, b, text = make_spaces(shared=False)
    (royal,) = score_concepts({"royal": ROYAL}, a, b, text, ["rsa"], 100, seed=0)
    assert abs(royal.similarity[1].null_mean) < 0.05


def test_direction_and_one_to_one_are_the_rules():
    a, b, text = make_spaces()
    for direction in ("a_to_b", "b_to_a"):
        for keep in ("best", "first", "strict"):
            (every,) = score_concepts({"all": WORDS}, a, b, text, ["rsa"], 1, 0, direction, keep)
            assert every.n_pairs == one_to_one(max_correlation(a.acts, b.acts, direction), keep).n_kept


def test_a_concept_of_few_pairs_has_no_score_and_the_others_do_not_change():
    a, b, text = make_spaces()
    names: list[str] = []
    concepts = {"hail": ["hail"], "royal": ROYAL}
    hail, royal = score_concepts(concepts, a, b, text, ["rsa"], 9, seed=0, progress=names.append)
    assert (hail.n_features_a, hail.n_pairs, hail.keyword_counts_a) == (0, 0, {})
    assert {entry.reason for entry in hail.similarity} == {"0 pairs are left, 3 are needed"}
    assert score_concepts({"royal": ROYAL}, a, b, text, ["rsa"], 9, seed=0) == [royal]
    assert names == ["hail", "royal"]


def test_results_are_plain_json():
    a, b, text = make_spaces()
    (royal,) = score_concepts({"royal": ROYAL}, a, b, text, ["rsa"], 9, seed=0)
    record = json.loads(json.dumps(royal.to_dict(), allow_nan=False))
    assert record["similarity"][1]["null"] == "random_subset"
    assert record["keyword_counts_a"] == royal.keyword_counts_a


def test_a_space_has_one_number_of_features():
    a, _, _ = make_spaces()
    with pytest.raises(ValueError, match=r"as many features, got \(60, 60, 59\)"):
        FeatureSpace(a.acts, a.top, a.decoder[:59])


def test_the_papers_keywords():
    paper, none = (yaml.safe_load((CONF / f"{name}.yaml").read_text()) for name in ("paper", "none"))
    sizes = {name: len(keywords) for name, keywords in paper["keywords"].items()}
    assert sizes == {
        "Time": 83,
        "Calendar": 35,
        "People/Roles": 27,
        "Nature": 46,
        "Emotions": 49,
        "MonthNames": 12,
        "Countries": 19,
        "Biology": 29,
    }
    assert set(paper["keywords"]["Calendar"]) < set(paper["keywords"]["Time"])
    assert all(type(word) is str for words in paper["keywords"].values() for word in words)
    assert none["keywords"] == {}
