"""Clusters of planted features, and what must not change them."""

import numpy as np
import pandas as pd
import pytest

from analogue.errors import InvalidArgument
from analogue.features import FeatureActivations
from analogue.matching import mutual
from analogue.universality import cluster_features
from analogue.universality.clusters import merged
from analogue.universality.links import Links
from tests.universality.planted import noisy, planted, rectified, scored, sparse

LENGTH = 60


def clusters_in(table):
    return {frozenset(zip(rows.space, rows.feature, strict=True)) for _, rows in table.groupby("cluster")}


@pytest.mark.parametrize(
    ("noise", "copy", "n_seeds"),  # more of them where clusters are hard to find
    [(0.3, noisy, 1), (0.6, noisy, 3), (0.3, rectified, 1), (0.6, rectified, 2)],
)
def test_planted_clusters_of_every_size_are_found(noise, copy, n_seeds):
    counts = {}
    for seed in range(n_seeds):
        spaces, truth = planted(seed, noise=noise, copy=copy)
        found = clusters_in(cluster_features(spaces, sequence_length=LENGTH, seed=seed))
        for size, numbers in scored(found, truth, 5).items():
            counts[size] = counts.get(size, 0) + np.array(numbers)
    for size, (right, is_found, is_there) in counts.items():
        assert right / is_found >= 0.95, (size, right, is_found)
        assert right / is_there >= 0.90, (size, right, is_there)


def test_a_space_that_shares_nothing_joins_nothing():
    joined, n_features = 0, 0
    for seed in range(4):
        spaces, _ = planted(seed, n_spaces=3, n_each=30, extra=10)
        generator = np.random.default_rng(100 + seed)
        stranger = np.stack([sparse(generator, spaces[0].n_tokens, 0.03) for _ in range(80)], axis=1)
        found = cluster_features([*spaces, FeatureActivations.from_dense(stranger)], sequence_length=LENGTH)
        joined, n_features = joined + (found.space == 3).sum(), n_features + 80
    assert joined / n_features <= 0.02


def test_independent_spaces_have_no_clusters_beyond_the_error_rate():
    n_clusters = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        spaces = [
            FeatureActivations.from_dense(np.stack([sparse(generator, 3000, 0.03) for _ in range(40)], axis=1))
            for _ in range(3)
        ]
        n_clusters.append(cluster_features(spaces, sequence_length=30).cluster.nunique())
    assert np.mean(np.array(n_clusters) > 0) <= 0.3  # 3 pairs of spaces, each at a rate of 2 %


@pytest.fixture(scope="module")
def small():
    spaces, truth = planted(7, n_spaces=4, n_each=12, extra=5, n_tokens=3000)
    return spaces, truth, clusters_in(cluster_features(spaces, sequence_length=LENGTH))


def test_the_order_of_spaces_changes_nothing(small):
    spaces, _, before = small
    order = [2, 0, 3, 1]
    after = clusters_in(cluster_features([spaces[s] for s in order], sequence_length=LENGTH))
    assert {frozenset((order[s], f) for s, f in each) for each in after} == before


def test_the_order_of_features_changes_nothing(small):
    spaces, _, before = small
    order = [np.random.default_rng(s).permutation(acts.d_sae) for s, acts in enumerate(spaces)]
    shuffled = [
        FeatureActivations.from_scipy(acts.to_scipy()[:, each]) for acts, each in zip(spaces, order, strict=True)
    ]
    after = clusters_in(cluster_features(shuffled, sequence_length=LENGTH))
    assert {frozenset((s, int(order[s][f])) for s, f in each) for each in after} == before


def test_the_order_of_sequences_changes_nothing_but_the_draws(small):
    spaces, _, before = small
    tokens = np.concatenate([np.arange(LENGTH) + LENGTH * s for s in np.random.default_rng(5).permutation(50)])
    shuffled = [acts.at_tokens(tokens) for acts in spaces]
    after = clusters_in(cluster_features(shuffled, sequence_length=LENGTH))
    assert len(after ^ before) <= 2


def test_copies_of_a_space_share_every_live_feature():
    generator = np.random.default_rng(1)
    dense = np.stack([sparse(generator, 3000, rate) for rate in np.geomspace(0.001, 0.2, 60)], axis=1)
    dense[:, 7] = 0.0
    dense[:, 11] = 3.5 * dense[:, 40]  # two features of one direction
    acts = FeatureActivations.from_dense(dense)
    scaled = FeatureActivations.from_dense(2.5 * dense)
    found = cluster_features([acts, scaled, acts, scaled], sequence_length=30)
    assert np.count_nonzero(acts.n_active()) == 59
    assert found.cluster.value_counts().eq(4).all()
    # In 100 sequences a feature that fires in one or two of them may lack evidence: p is about 1 / 100.
    n_sequences = np.count_nonzero(dense.reshape(100, 30, 60).any(axis=1), axis=0)
    assert set(np.flatnonzero(n_sequences >= 3)) <= set(found[found.space == 2].feature)
    assert found[found.space == 2].feature.nunique() >= 56
    assert np.allclose(found.correlation, 1.0, atol=1e-6)
    assert found.groupby("cluster").feature.nunique().eq(1).all()


def test_two_spaces_are_paired_as_mutual_does():
    spaces, _ = planted(3, n_spaces=2, noise=0.6)
    found = cluster_features(spaces, sequence_length=LENGTH).pivot(index="cluster", columns="space")
    pairs = mutual(*spaces)
    known = {(a, b): r for a, b, r in zip(pairs.feature_a, pairs.feature_b, pairs.correlation, strict=True)}
    for a, b, r in found[[("feature", 0), ("feature", 1), ("correlation", 0)]].itertuples(index=False):
        assert np.isclose(known.pop((a, b)), r)
    assert len(found) >= 35
    assert max(known.values()) < np.median(found["correlation"][0])  # the others are weak


def links(pairs, strong=True):
    a, b, r = zip(*pairs, strict=True)
    return Links(np.array(a), np.array(b), np.array(r), np.full(len(a), strong))


def test_one_wrong_link_adds_no_feature_to_a_pair():
    members = merged({(0, 1): links([(0, 0, 0.9)]), (0, 2): links([(0, 0, 0.4)])}, [1, 1, 1]).members
    assert members.tolist() == [[0, 0, -1]]


def test_weak_agreement_lets_a_strong_link_join():
    found = {(0, 1): links([(0, 0, 0.9)]), (0, 2): links([(0, 0, 0.4)]), (1, 2): links([(0, 0, 0.3)], strong=False)}
    assert merged(found, [1, 1, 1]).members.tolist() == [[0, 0, 0]]


def test_a_cluster_holds_one_feature_of_a_space():
    chain = {(0, 1): links([(0, 0, 0.9)]), (1, 2): links([(0, 0, 0.8)]), (0, 2): links([(1, 0, 0.7)])}
    members = merged(chain, [2, 1, 1]).members
    assert members.tolist() == [[0, 0, -1], [1, -1, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spaces": 1}, "spaces=1 of them: must be at least two"),
        ({"tokens": 2000}, r"spaces=activations on \[3000, 2000\] tokens: must be of the same tokens"),
        ({"sequence_length": 600}, "sequence_length=600: leaves 5 sequences to permute, but 2 spaces need at least 10"),
        ({"n_draws": 0}, "n_draws=0: must be at least 1"),
    ],
)
def test_bad_input_is_said_in_a_sentence(change, message):
    spaces, _ = planted(0, n_spaces=2, n_each=2, extra=1, n_tokens=3000)
    if "tokens" in change:
        spaces[1] = FeatureActivations.from_scipy(spaces[1].to_scipy()[: change["tokens"]])
    given = {name: value for name, value in change.items() if name in ("sequence_length", "n_draws")}
    with pytest.raises(InvalidArgument, match=message):
        cluster_features(spaces[: change.get("spaces", 2)], **({"sequence_length": 60} | given))


def test_the_table_has_its_columns_where_nothing_is_shared():
    generator = np.random.default_rng(0)
    spaces = [FeatureActivations.from_dense(np.stack([sparse(generator, 600, 0.02)], axis=1)) for _ in range(2)]
    table = cluster_features(spaces, sequence_length=30, n_draws=19)
    assert isinstance(table, pd.DataFrame)
    assert [*table] == ["cluster", "space", "feature", "correlation"]
