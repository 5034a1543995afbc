"""The places in a text at which interventions are made, and how strong they are."""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from analogue.features import FeatureActivations


def typical_activation(acts: FeatureActivations, features: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Mean activation of features over the tokens on which they fire: the unit of doses; 0 for a dead one."""
    total = np.bincount(acts.indices, weights=acts.values, minlength=acts.d_sae)
    count = np.bincount(acts.indices, minlength=acts.d_sae)
    return total[features] / np.maximum(count[features], 1)


def firing(acts: FeatureActivations, features: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, "n n_tokens"]:
    """On which tokens each of some features fires."""
    columns = acts.to_scipy()[:, features]
    return (columns != 0).toarray().T


def silent_contexts(
    fires: Bool[np.ndarray, "n n_units"], allowed: Bool[np.ndarray, " n_units"], n: int, seed: int
) -> Int64[np.ndarray, " n_contexts"]:
    """Places at which none of the features fires, drawn at random; if too few, where the fewest fire.

    All effects are then averaged over the same contexts, so that no two effects are alike only because their texts are.

    Args:
        fires: where each chosen feature fires, of either side.
        allowed: places that may be chosen.
        n: how many, at most.
        seed: of the choice.
    """
    places = np.random.default_rng(seed).permutation(np.flatnonzero(allowed))
    order = np.argsort(fires[:, places].sum(0), kind="stable")
    return np.sort(places[order[:n]])


def firing_contexts(
    fires: Bool[np.ndarray, " n_units"], allowed: Bool[np.ndarray, " n_units"], n: int, seed: int
) -> Int64[np.ndarray, " n_contexts"]:
    """Places at which a feature (with its partner) fires, drawn at random; perhaps fewer than n, perhaps none."""
    places = np.random.default_rng(seed).permutation(np.flatnonzero(fires & allowed))
    return np.sort(places[:n])
