"""How long many spaces take: all pairs by the engine, and with permuted draws: python -m benchmarks.universality

Spaces share half of their features; firing rates are heavy-tailed, as those of real SAEs.
"""

import argparse
import resource
import time

import numpy as np
from scipy.sparse import csr_array

from analogue.features import FeatureActivations
from analogue.matching import best_partners
from analogue.universality import cluster_features
from analogue.universality.clusters import pairs_of

SEQUENCE_LENGTH = 300


def spaces_of(n_spaces, n_tokens, d_sae, l0, seed=0):
    """Spaces whose first d_sae / 2 features fire on the same tokens but for a fifth."""
    generator = np.random.default_rng(seed)
    rates = generator.pareto(1.2, d_sae) + 0.05
    shared = generator.choice(d_sae, size=(n_tokens, l0), p=rates / rates.sum())
    spaces = []
    for _ in range(n_spaces):
        own = generator.choice(d_sae, size=(n_tokens, l0), p=rates / rates.sum())
        stays = (shared < d_sae // 2) & (generator.random((n_tokens, l0)) < 0.8)
        features = np.where(stays, shared, own).ravel()
        values = generator.exponential(size=n_tokens * l0) + 0.1
        tokens = np.repeat(np.arange(n_tokens), l0)
        order = generator.permutation(d_sae)
        matrix = csr_array((values.astype(np.float32), (tokens, order[features])), shape=(n_tokens, d_sae))
        spaces.append(FeatureActivations.from_scipy(matrix))
    return spaces


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", type=int, default=12)
    parser.add_argument("--features", type=int, default=32_768)
    parser.add_argument("--tokens", type=int, default=30_000)
    parser.add_argument("--l0", type=int, default=32)
    parser.add_argument("--draws", type=int, default=10)
    given = parser.parse_args()
    small = spaces_of(2, 3000, 256, 8)
    cluster_features(small, n_draws=2)  # compiled code is loaded
    spaces = spaces_of(given.spaces, given.tokens, given.features, given.l0)
    print(f"{given.spaces} spaces of {given.features} features, {given.tokens} tokens, L0 {spaces[0].l0():.0f}")
    start, user = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for s, t in pairs_of(given.spaces):
        best_partners(spaces[s], spaces[t], direction="both")
    report("all ordered pairs", start, user)
    start, user = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    table = cluster_features(spaces, n_draws=given.draws, sequence_length=SEQUENCE_LENGTH)
    report(f"cluster_features, {given.draws} draws", start, user)
    print(
        f"{table.cluster.nunique()} clusters; {(table.groupby('cluster').size() == given.spaces).sum()} in all spaces"
    )


def report(name, start, user):
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.1f} s, {used.ru_utime - user:.1f} s of CPU, {used.ru_maxrss / 1e6:.2f} GB at most")


if __name__ == "__main__":
    main()
