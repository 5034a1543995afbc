"""In how many spaces features are, by chance too; stability; kinds of features; and a map of spaces."""

import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.universality.among_spaces import map_of, tree
from analogue.universality.clusters import member_correlations, merged, pairs_of, strengths
from analogue.universality.links import links_of, partners_beyond_chance
from analogue.universality.spectrum import kinds, spectra_by_chance, spectrum
from analogue.universality.stability import resampled_tokens, stability
from tests.universality.planted import planted, sparse

LENGTHS = np.full(150, 60)


@pytest.fixture(scope="module")
def study():
    spaces, truth = planted(11, n_spaces=4, n_each=12, extra=8)
    rare = np.zeros(9000, dtype=np.float32)
    rare[4321] = 1.0
    spaces[0] = FeatureActivations.from_dense(np.column_stack([spaces[0].to_scipy().toarray(), rare]))
    tests = {(s, t): partners_beyond_chance(spaces[s], spaces[t], LENGTHS, 100, 0) for s, t in pairs_of(4)}
    links = {(s, t): links_of(spaces[s], spaces[t], *test) for (s, t), test in tests.items()}
    return spaces, truth, tests, merged(links, [acts.d_sae for acts in spaces])


def test_the_spectrum_counts_every_live_feature_once(study):
    spaces, truth, _, clusters = study
    counts = spectrum(clusters, spaces)
    for space, acts in enumerate(spaces):
        assert counts[space].sum() == np.count_nonzero(acts.n_active())
        sizes = [len(each) for each in truth if any(s == space for s, _ in each)]
        expected = np.bincount(sizes, minlength=5)[1:]
        expected[0] += space == 0  # the rare one
        assert np.abs(counts[space] - expected).max() <= 1


def test_permuted_sequences_leave_hardly_anything_shared(study):
    spaces, _, tests, clusters = study
    drawn = spectra_by_chance(spaces, tests, LENGTHS, 5, 0)
    assert drawn.shape == (5, 4, 4)
    assert (drawn.sum(axis=2) == spectrum(clusters, spaces).sum(axis=1)).all()
    assert drawn[:, :, 1:].sum() / drawn.sum() <= 0.04
    assert np.array_equal(drawn[0], spectra_by_chance(spaces, tests, LENGTHS, 1, 0)[0])
    with pytest.raises(ValueError, match="at least 4 sequences, got 3"):
        spectra_by_chance(spaces, tests, np.full(3, 3000), 1, 0)


def test_strong_clusters_come_back(study):
    spaces, truth, tests, clusters = study
    found = stability(clusters, spaces, tests, LENGTHS, 10, 0)
    assert found.share.shape == (len(clusters),)
    right = np.array([frozenset((s, f) for s, f in enumerate(row) if f >= 0) in truth for row in clusters.members])
    assert found.share[right].mean() > 0.9
    low, high = found.interval()
    assert (low <= high).all()
    assert (low[right] <= clusters.sizes[right]).mean() > 0.95
    assert np.isnan(stability(clusters, spaces, tests, LENGTHS, 0, 0).share).all()


def test_resamples_keep_sequences_whole():
    tokens = resampled_tokens(np.array([3, 2, 4]), np.random.default_rng(1))
    starts = [int(t) for t in tokens if t in (0, 3, 5)]
    assert len(starts) == 3
    assert tokens.tolist() == [t for s in starts for t in range(s, s + {0: 3, 3: 2, 5: 4}[s])]


def test_kinds_of_features(study):
    spaces, truth, tests, clusters = study
    alone = {feature for each in truth if len(each) == 1 for space, feature in each if space == 0}
    kind = kinds(clusters, tests, 0, spaces[0])
    assert kind[-1] == "undetermined"  # fires once: nothing can be said of it
    assert (kind[np.flatnonzero(spaces[0].n_active() == 0)] == "").all()
    assert np.mean([kind[f] == "exclusive" for f in alone]) >= 0.75
    shared = {feature for each in truth if len(each) > 1 for space, feature in each if space == 0}
    assert np.mean([kind[f] == "shared" for f in shared]) >= 0.95


def test_strength_is_the_mean_correlation_inside(study):
    spaces, _, _, clusters = study
    of_members = member_correlations(clusters, spaces)
    members = clusters.members[0]
    columns = np.stack([spaces[s].to_scipy().toarray()[:, f] for s, f in enumerate(members) if f >= 0], axis=1)
    r = np.corrcoef(columns.T)
    assert np.allclose(strengths(of_members)[0], r[np.triu_indices(len(r), 1)].mean(), atol=1e-9)


def test_a_map_of_points_in_the_plane_keeps_their_distances():
    points = np.array([[0.0, 0.0], [3.0, 0.5], [1.0, 2.0], [-1.0, 4.0]])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    places, shown = map_of(distance)
    assert shown == pytest.approx(1.0)
    assert np.allclose(np.linalg.norm(places[:, None] - places[None], axis=2), distance)


def test_the_tree_joins_the_nearest_first():
    distance = np.array([[0.0, 0.1, 0.8], [0.1, 0.0, 0.6], [0.8, 0.6, 0.0]])
    first, second = tree(distance)
    assert first == (0, 1, 0.1)
    assert second == (2, 3, pytest.approx(0.7))


def test_a_feature_fires_in_bursts():  # the fixture's own property: tokens of a sequence depend on each other
    fires = sparse(np.random.default_rng(0), 20_000, 0.05) > 0
    assert np.mean(fires[1:][fires[:-1]]) > 3 * fires.mean()
