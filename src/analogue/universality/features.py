"""Clusters of features from activations alone: what the command line calls, for anyone who has activations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from analogue.errors import InvalidArgument, check_between, check_minima
from analogue.features import FeatureActivations
from analogue.universality.clusters import Clusters, member_correlations, merged, pairs_of
from analogue.universality.links import Q, links_of, partners_beyond_chance

if TYPE_CHECKING:
    import pandas

MINIMUM_SEQUENCES = 10


def cluster_features(
    spaces: Sequence[FeatureActivations],
    n_draws: int = 100,
    seed: int = 0,
    *,
    sequence_length: int = 300,
    q: float = Q,
) -> "pandas.DataFrame":
    """Features of different spaces that are each other's best partner beyond chance, in clusters.

    Args:
        spaces: activations (n_tokens, d_sae) of at least two spaces on the same tokens.
        n_draws: permutations of sequences per pair of spaces, at least 1.
        seed: of the draws.
        sequence_length: tokens per sequence, of which the last may have fewer. Tokens of one sequence depend on each
            other, so sequences are permuted as they are; there must be at least 10, and one per space.
        q: false discovery rate of the features of a space that have a partner in another, in (0, 1).

    Returns:
        A row per member of a cluster, the largest clusters first: `cluster`, `space` (its place in `spaces`),
        `feature`, and `correlation`, the mean of those with the cluster's other members. Features that belong to no
        cluster are left out.

    Raises:
        InvalidArgument: one space, spaces of different tokens, too few sequences, or a number out of range.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> acts = FeatureActivations.from_dense(generator.random((400, 6)) * (generator.random((400, 6)) < 0.2))
        >>> cluster_features([acts, acts, acts], n_draws=9, sequence_length=20).feature.nunique()
        6
    """
    check_minima({"sequence_length": (sequence_length, 1), "n_draws": (n_draws, 1), "seed": (seed, 0)})
    check_spaces(spaces)
    starts = np.arange(0, spaces[0].n_tokens, sequence_length)
    lengths = np.diff(np.append(starts, spaces[0].n_tokens))
    check_sequences(lengths, len(spaces), "sequence_length", sequence_length)
    check_between("q", q, 0, 1)
    links = {}
    for s, t in pairs_of(len(spaces)):
        tested = partners_beyond_chance(spaces[s], spaces[t], lengths, n_draws, seed, q)
        links[s, t] = links_of(spaces[s], spaces[t], *tested, q)
    clusters = merged(links, [acts.d_sae for acts in spaces])
    return as_frame(clusters, member_correlations(clusters, spaces))


def as_frame(clusters: Clusters, correlations: np.ndarray) -> "pandas.DataFrame":
    """A row per member: `cluster`, `space`, `feature`, `correlation`."""
    import pandas as pd

    cluster, space = np.nonzero(clusters.members >= 0)
    feature, correlation = clusters.members[cluster, space], correlations[cluster, space]
    return pd.DataFrame({"cluster": cluster, "space": space, "feature": feature, "correlation": correlation})


def check_spaces(spaces: Sequence[FeatureActivations]) -> None:
    """Raise `InvalidArgument` unless there are two spaces, of the same tokens."""
    if len(spaces) < 2:
        raise InvalidArgument("spaces", f"{len(spaces)} of them", "must be at least two, to have features in common")
    n_tokens = [acts.n_tokens for acts in spaces]
    if len(set(n_tokens)) > 1:
        problem = "must be of the same tokens in the same order; collect the activations of all on one corpus"
        raise InvalidArgument("spaces", f"activations on {n_tokens} tokens", problem)


def check_sequences(lengths: Int64[np.ndarray, " n_sequences"], n_spaces: int, argument: str, value: object) -> None:
    """Raise `InvalidArgument` unless there are enough sequences to permute."""
    n_sequences, needed = int(np.count_nonzero(lengths)), max(MINIMUM_SEQUENCES, n_spaces)
    if n_sequences < needed:
        problem = f"leaves {n_sequences} sequences to permute, but {n_spaces} spaces need at least {needed}; give more"
        raise InvalidArgument(argument, value, f"{problem} text, or shorter sequences")
