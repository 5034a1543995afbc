"""How many features are in one space, two, ..., all; how many would be by chance; and the kinds of the others."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from jaxtyping import Int64

from analogue.features import FeatureActivations
from analogue.matching import Standardised
from analogue.significance import tokens_of_sequences
from analogue.significance.draws import Progress
from analogue.universality.clusters import Clusters
from analogue.universality.stability import Tests, clusters_on

CORRELATED = 0.05
"""The share of features without a partner anywhere that are called related all the same, by chance."""
DETECTABLE = 0.5
"""To be called exclusive, a feature must fire so that a partner of this correlation would have been beyond chance."""
OFTEN = 10
"""The tokens on which it must fire: of a few, another space may miss most."""


class Kind(StrEnum):
    """What a live feature is.

    `shared`: in a cluster. `related`: in no cluster, although a feature of another space correlates with it (but
    prefers another partner, or the correlation is not beyond chance after the correction). `exclusive`: nothing in any
    other space correlates with it, and a partner would have been found. `undetermined`: it fires too rarely to tell.
    """

    shared = "shared"
    related = "related"
    exclusive = "exclusive"
    undetermined = "undetermined"


def spectrum(clusters: Clusters, spaces: Sequence[FeatureActivations]) -> Int64[np.ndarray, "n_spaces n_spaces"]:
    """(n_spaces, n_spaces): of the live features of each space (rows), how many are in 1, 2, ... spaces (columns)."""
    n = len(spaces)
    counts = np.zeros((n, n), dtype=np.int64)
    for space, acts in enumerate(spaces):
        sizes = clusters.sizes[clusters.members[:, space] >= 0]
        counts[space] = np.bincount(sizes, minlength=n + 1)[1:]
        counts[space, 0] = len(Standardised.of(acts).live) - len(sizes)
    return counts


def spectra_by_chance(
    spaces: Sequence[FeatureActivations],
    tests: Tests,
    lengths: Int64[np.ndarray, " n_sequences"],
    n_draws: int,
    seed: int,
    progress: Progress | None = None,
) -> Int64[np.ndarray, "n_draws n_spaces n_spaces"]:
    """`spectrum` where the sequences of every space are permuted against those of every other.

    A draw puts the sequences on a circle in random order and turns the circle by a different number of places for each
    space, so that no sequence of one space meets itself in another.

    Raises:
        ValueError: fewer sequences with tokens than spaces.
    """
    lengths = np.asarray(lengths)[np.asarray(lengths) > 0]
    n_sequences, n_spaces = len(lengths), len(spaces)
    if n_sequences < n_spaces:
        raise ValueError(f"expected at least {n_spaces} sequences, got {n_sequences}")
    found = np.empty((n_draws, n_spaces, n_spaces), dtype=np.int64)
    for i in range(n_draws):
        generator = np.random.default_rng([seed, i])
        circle, source = generator.permutation(n_sequences), np.empty(n_sequences, dtype=np.int64)
        drawn = []
        for acts, turn in zip(spaces, generator.choice(n_sequences, n_spaces, replace=False), strict=True):
            source[circle] = np.roll(circle, turn)
            tokens = tokens_of_sequences(lengths, source, generator)
            drawn.append(acts.at_tokens(tokens))
        found[i] = spectrum(clusters_on(drawn, tests), drawn)
        if progress is not None:
            progress(i + 1)
    return found


def kinds(clusters: Clusters, tests: Tests, space: int, acts: FeatureActivations) -> np.ndarray:
    """(d_sae,) the `Kind` of every feature of a space; "" for a feature without variance."""
    sides = [test[0] if s == space else test[1] for (s, t), test in tests.items() if space in (s, t)]
    p_value = np.stack([side.p_value for side in sides])
    critical = np.stack([side.critical for side in sides])
    live = np.isfinite(p_value).any(axis=0)
    kind = np.full(acts.d_sae, "", dtype="U12")
    kind[live] = Kind.undetermined
    kind[live & (critical <= DETECTABLE).all(axis=0) & (acts.n_active() >= OFTEN)] = Kind.exclusive
    kind[live & (np.nan_to_num(p_value, nan=1.0) <= CORRELATED / len(sides)).any(axis=0)] = Kind.related
    kind[clusters.of_features(space, acts.d_sae) >= 0] = Kind.shared
    return kind
