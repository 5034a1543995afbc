"""Features that split and merge, appear and disappear."""

import numpy as np

from analogue.features import FeatureActivations
from analogue.universality.changes import changes
from analogue.universality.links import links_of, partners_beyond_chance
from tests.universality.planted import noisy, sparse

LENGTHS = np.full(150, 60)


def steps(seed, noise, n=12):
    """Spaces before and after: n features stay, n split, n merge, n go and n come, in this order of columns."""
    generator = np.random.default_rng(seed)

    def new():
        return sparse(generator, LENGTHS.sum(), generator.choice([0.02, 0.03, 0.05]))

    before, after = [], []
    for _ in range(n):
        stays = new()
        before.append(noisy(generator, stays, noise))
        after.append(noisy(generator, stays, noise))
    for wholes, parts in ((before, after), (after, before)):
        for _ in range(n):
            one, two = new(), new()
            two = np.where(one > 0, 0.0, two)
            wholes.append(noisy(generator, one + two, noise))
            parts += [noisy(generator, each, noise) for each in (one, two)]
    before += [new() for _ in range(n)]
    after += [new() for _ in range(n)]
    return FeatureActivations.from_dense(np.stack(before, 1)), FeatureActivations.from_dense(np.stack(after, 1))


def found_changes(seed, noise):
    acts = steps(seed, noise)
    tested = partners_beyond_chance(*acts, LENGTHS, 100, seed)
    return changes(*acts, *tested, links_of(*acts, *tested))


def test_splits_and_merges_are_found():
    for noise in (0.3, 0.5):
        right = n_found = 0
        for seed in range(3):
            found = found_changes(seed, noise)
            # Before: 12 that stay, 12 wholes, 24 parts; after: 12 that stay, 24 parts, 12 wholes.
            splits = {(12 + i, (12 + 2 * i, 13 + 2 * i)) for i in range(12)}
            merges = {(36 + i, (24 + 2 * i, 25 + 2 * i)) for i in range(12)}
            for unions, planted in ((found.splits, splits), (found.merges, merges)):
                sets = {(each.whole, tuple(sorted(each.parts))) for each in unions}
                right, n_found = right + len(sets & planted), n_found + len(sets)
        assert right / n_found >= 0.95, noise
        assert right / (3 * 24) >= 0.9, noise


def test_a_union_covers_its_whole():
    for union in found_changes(0, 0.3).splits:
        assert 0.6 <= union.covered <= 1.0
        assert min(union.correlations) > 0.1


def test_a_part_alone_is_no_union():
    generator = np.random.default_rng(0)
    signals = [sparse(generator, LENGTHS.sum(), 0.04) for _ in range(30)]
    part = np.where(generator.random(LENGTHS.sum()) < 0.4, signals[0], 0.0)
    before = FeatureActivations.from_dense(np.stack(signals, 1))
    after = FeatureActivations.from_dense(np.stack([*(noisy(generator, s, 0.3) for s in signals), part], 1))
    tested = partners_beyond_chance(before, after, LENGTHS, 50, 0)
    assert changes(before, after, *tested, links_of(before, after, *tested)).splits == []


def test_what_stays_goes_and_comes():
    found = found_changes(1, 0.3)
    assert {(i, i) for i in range(12)} <= set(map(tuple, found.stays.tolist()))
    assert set(range(48, 60)) == set(found.disappears.tolist())
    assert set(range(48, 60)) == set(found.appears.tolist())
