"""Links between many spaces to clusters, each with at most one feature of a space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analogue.features import FeatureActivations
from analogue.matching import Standardised, paired_correlations
from analogue.universality.links import Links


@dataclass(frozen=True, eq=False)
class Clusters:
    """Features of different spaces that belong together.

    Attributes:
        members: (n_clusters, n_spaces) the feature of each space; -1 where a cluster has none.
    """

    members: Int64[np.ndarray, "n_clusters n_spaces"]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def sizes(self) -> Int64[np.ndarray, " n_clusters"]:
        """(n_clusters,) how many spaces each is in."""
        return (self.members >= 0).sum(axis=1)

    def of_features(self, space: int, d_sae: int) -> Int64[np.ndarray, " d_sae"]:
        """(d_sae,) the cluster of each feature of a space; -1 for none."""
        cluster = np.full(d_sae, -1)
        has = np.flatnonzero(self.members[:, space] >= 0)
        cluster[self.members[has, space]] = has
        return cluster


def merged(links: Mapping[tuple[int, int], Links], widths: Sequence[int]) -> Clusters:
    """Clusters of linked features: from the highest correlation down, a strong link joins two clusters that agree.

    They agree if they share no space, and more than half of the pairs of features between them are each other's best
    partner, beyond chance or not. So one wrong link adds no feature to a cluster of two, and one missing link splits no
    cluster of four. Links that were refused are tried again until nothing changes, since a cluster that has grown may
    agree where its parts did not.

    Args:
        links: of spaces s < t, by (s, t).
        widths: d_sae of each space.

    Returns:
        Clusters of two features and more, the largest first, then by their members.
    """
    starts = np.concatenate([[0], np.cumsum(widths)])
    space = np.repeat(np.arange(len(widths)), widths)
    a = np.concatenate([starts[s] + each.feature_a for (s, _), each in links.items()])
    b = np.concatenate([starts[t] + each.feature_b for (_, t), each in links.items()])
    correlation, strong = (
        np.concatenate([getattr(each, name) for each in links.values()]) for name in ("correlation", "is_strong")
    )
    part, is_complete = _parts(a[strong], b[strong], space)
    cluster, unclear = part.copy(), ~is_complete[part[a]] & ~is_complete[part[b]]
    if (unclear & strong).any():
        order = np.flatnonzero(unclear)
        order = order[np.lexsort((b[order], a[order], -correlation[order]))]
        nodes, ends = np.unique(np.concatenate([a[order], b[order]]), return_inverse=True)
        pairs = list(zip(*ends.reshape(2, -1).tolist(), strict=True))
        joining = [pair for pair, joins in zip(pairs, strong[order].tolist(), strict=True) if joins]
        cluster[nodes] = len(is_complete) + np.array(_agglomerated(joining, pairs, space[nodes].tolist()))
    return _as_clusters(cluster, space, np.arange(len(space)) - starts[space], len(widths))


def member_correlations(
    clusters: Clusters, spaces: Sequence[FeatureActivations]
) -> Float64[np.ndarray, "n_clusters n_spaces"]:
    """The mean correlation of each member with the others of its cluster; NaN where a cluster has no member."""
    moments = [Standardised.of(acts) for acts in spaces]
    total, count = np.zeros(clusters.members.shape), np.zeros(clusters.members.shape)
    for s, t in pairs_of(len(spaces)):
        both = np.flatnonzero((clusters.members[:, [s, t]] >= 0).all(axis=1))
        found = paired_correlations(moments[s], moments[t], clusters.members[both, s], clusters.members[both, t])
        for space in (s, t):
            total[both, space] += found
            count[both, space] += 1
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def strengths(correlations: Float64[np.ndarray, "n_clusters n_spaces"]) -> Float64[np.ndarray, " n_clusters"]:
    """The mean correlation of the pairs inside each cluster."""
    return np.nanmean(correlations, axis=1) if len(correlations) else np.empty(0)


def pairs_of(n_spaces: int) -> list[tuple[int, int]]:
    """All (s, t) with s < t."""
    return [(s, t) for t in range(n_spaces) for s in range(t)]


def _parts(a: np.ndarray, b: np.ndarray, space: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected part of each feature, and which parts need no decision: each feature is linked with every other."""
    n = len(space)
    n_parts, part = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    n_nodes, n_links = np.bincount(part, minlength=n_parts), np.bincount(part[a], minlength=n_parts)
    return part, 2 * n_links == n_nodes * (n_nodes - 1)  # of one space no two features are linked


def _agglomerated(
    joining: Sequence[tuple[int, int]], links: Sequence[tuple[int, int]], space: Sequence[int]
) -> list[int]:
    """The number of each node's cluster, for the strong links by falling correlation, and all."""
    cluster = list(range(len(space)))
    nodes = [[node] for node in cluster]
    spaces = [{each} for each in space]
    partners: list[set[int]] = [set() for _ in cluster]
    for a, b in links:
        partners[a].add(b)
        partners[b].add(a)
    changed = True
    while changed:
        changed = False
        for a, b in joining:
            one, other = cluster[a], cluster[b]
            if one == other or not spaces[one].isdisjoint(spaces[other]):
                continue
            few, many = sorted((one, other), key=lambda each: len(nodes[each]))
            n_agreeing = sum(len(partners[node].intersection(nodes[many])) for node in nodes[few])
            if 2 * n_agreeing <= len(nodes[few]) * len(nodes[many]):
                continue
            for node in nodes[few]:
                cluster[node] = many
            nodes[many] += nodes[few]
            spaces[many] |= spaces[few]
            changed = True
    return cluster


def _as_clusters(cluster: np.ndarray, space: np.ndarray, feature: np.ndarray, n_spaces: int) -> Clusters:
    """Clusters of two and more, from the number of each node's cluster."""
    _, cluster, size = np.unique(cluster, return_inverse=True, return_counts=True)
    kept = size[cluster] > 1
    _, row = np.unique(cluster[kept], return_inverse=True)
    members = np.full((int(row.max(initial=-1)) + 1, n_spaces), -1)
    members[row, space[kept]] = feature[kept]
    firsts = [np.where(column < 0, np.iinfo(np.int64).max, column) for column in members.T]
    order = np.lexsort((*firsts[::-1], -(members >= 0).sum(axis=1)))
    return Clusters(members[order])
