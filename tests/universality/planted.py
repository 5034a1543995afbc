"""Spaces with planted features: shared by some of them, noisy, and of scales and rates that break symmetry."""

from itertools import combinations

import numpy as np

from analogue.features import FeatureActivations


def sparse(generator, n_tokens, rate):
    """Activations of one feature, in bursts, so that neighbouring tokens depend on each other."""
    fires = generator.random(n_tokens) < rate / 2
    fires |= np.roll(fires, 1) & (generator.random(n_tokens) < 0.9)
    return np.where(fires, generator.lognormal(0.0, 0.7, n_tokens), 0.0)


def noisy(generator, signal, noise):
    """A copy that loses a share of `noise` / 2 of its tokens, gains as many, and has values of its own size."""
    n_tokens, fires = len(signal), np.flatnonzero(signal)
    copy = signal * generator.lognormal(0.0, noise, n_tokens)
    lost = fires[generator.random(len(fires)) < noise / 2]
    copy[lost] = 0.0
    gained = generator.integers(n_tokens, size=len(lost))
    copy[gained] += generator.lognormal(0.0, 0.7, len(lost))
    return copy * generator.uniform(0.2, 5.0)


def rectified(generator, signal, noise):
    """A copy with noise of its own, of `noise` times the signal's deviation, on every token, cut off below a bias."""
    noise = noise * signal.std() * (generator.standard_normal(len(signal)) - 1.5)
    return np.maximum(signal + noise, 0.0) * generator.uniform(0.2, 5.0)


def planted(seed, n_spaces=5, n_each=40, n_tokens=9000, noise=0.3, copy=noisy, extra=40):
    """Spaces, and the sets of (space, feature) that were planted, of every size from 1 to n_spaces.

    Each size has `n_each` features; those of one space alone come with `extra` more per space.
    """
    generator = np.random.default_rng(seed)
    columns = [[] for _ in range(n_spaces)]
    truth = []
    for size in range(1, n_spaces + 1):
        choices = [*combinations(range(n_spaces), size)]
        for i in range(n_each if size > 1 else extra * n_spaces):
            signal = sparse(generator, n_tokens, generator.choice([0.01, 0.02, 0.05, 0.1]))
            members = choices[i % len(choices)]
            for space in members:
                columns[space].append((len(truth), copy(generator, signal, noise)))
            truth.append(members)
    spaces, of_truth = [], {}
    for space, own in enumerate(columns):
        order = generator.permutation(len(own) + 3)  # three dead features
        acts = np.zeros((n_tokens, len(order)))
        for place, source in enumerate(order):
            if source < len(own):
                number, values = own[source]
                acts[:, place] = values
                of_truth.setdefault(number, set()).add((space, place))
        spaces.append(FeatureActivations.from_dense(acts.astype(np.float32)))
    return spaces, {frozenset(members) for members in of_truth.values()}


def scored(found, truth, n_spaces):
    """(right, found, there) clusters of each size from 2 on; one is right if it holds what was planted, no more."""
    of_size = lambda clusters, size: {each for each in clusters if len(each) == size}  # noqa: E731
    counts = {}
    for size in range(2, n_spaces + 1):
        is_found, is_there = of_size(found, size), of_size(truth, size)
        counts[size] = (len(is_found & is_there), len(is_found), len(is_there))
    return counts
