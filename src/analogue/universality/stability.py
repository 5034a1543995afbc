"""How stable clusters are: the same clustering on resampled sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from analogue.features import FeatureActivations
from analogue.significance.draws import Progress
from analogue.universality.clusters import Clusters, merged
from analogue.universality.links import Partners, links_on

Tests = Mapping[tuple[int, int], tuple[Partners, Partners]]
"""The tested partners of spaces s < t, by (s, t)."""


@dataclass(frozen=True, eq=False)
class Stability:
    """What became of clusters in bootstrap resamples of sequences.

    Attributes:
        share: (n_clusters,) of resamples in which a cluster comes back with the same members.
        sizes: (n_resamples, n_clusters) mean, over a cluster's members, of the size of the cluster that the member is
            in on that resample; 1 for a member in no cluster.
    """

    share: Float64[np.ndarray, " n_clusters"]
    sizes: Float64[np.ndarray, "n_resamples n_clusters"]

    def interval(self, level: float = 0.95) -> Float64[np.ndarray, "2 n_clusters"]:
        """The interval of each cluster's size that holds this share of the resamples; NaN without resamples."""
        if not len(self.sizes):
            return np.full((2, self.sizes.shape[1]), np.nan)
        return np.quantile(self.sizes, [(1 - level) / 2, (1 + level) / 2], axis=0)


def stability(
    clusters: Clusters,
    spaces: Sequence[FeatureActivations],
    tests: Tests,
    lengths: Int64[np.ndarray, " n_sequences"],
    n_resamples: int,
    seed: int,
    progress: Progress | None = None,
) -> Stability:
    """Cluster again on sequences drawn with replacement, at the correlations that were critical on all of them.

    Args:
        clusters: of the spaces.
        spaces: activations (n_tokens, d_sae) of each on the same tokens.
        tests: of every two spaces.
        lengths: (n_sequences,) tokens in each sequence.
        n_resamples: 0 for none, which leaves shares NaN.
        seed: of the resamples.
        progress: called with the number of resamples done.
    """
    share, sizes = np.zeros(len(clusters)), np.empty((n_resamples, len(clusters)))
    wanted = [tuple(members) for members in clusters.members.tolist()]
    for i in range(n_resamples):
        tokens = resampled_tokens(lengths, np.random.default_rng([seed, i]))
        again = clusters_on([acts.at_tokens(tokens) for acts in spaces], tests)
        found = set(map(tuple, again.members.tolist()))
        share += [members in found for members in wanted]
        sizes[i] = _mean_sizes(clusters, again, spaces)
        if progress is not None:
            progress(i + 1)
    return Stability(share / n_resamples if n_resamples else np.full(len(clusters), np.nan), sizes)


def clusters_on(spaces: Sequence[FeatureActivations], tests: Tests) -> Clusters:
    """The clusters on these tokens, at the critical correlations of the tests."""
    links = {(s, t): links_on(spaces[s], spaces[t], *test) for (s, t), test in tests.items()}
    return merged(links, [acts.d_sae for acts in spaces])


def resampled_tokens(
    lengths: Int64[np.ndarray, " n_sequences"], generator: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """The tokens of as many sequences, drawn with replacement."""
    starts = np.cumsum(lengths) - lengths
    drawn = generator.integers(len(lengths), size=len(lengths))
    return np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for i in drawn])


def _mean_sizes(clusters: Clusters, again: Clusters, spaces: Sequence[FeatureActivations]) -> np.ndarray:
    size = np.append(again.sizes, 1)  # the last is that of -1
    total = np.zeros(len(clusters))
    for space, acts in enumerate(spaces):
        members = clusters.members[:, space]
        there = members >= 0
        total[there] += size[again.of_features(space, acts.d_sae)[members[there]]]
    return total / np.maximum(clusters.sizes, 1)
