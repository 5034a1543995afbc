"""Pairs of synthetic feature spaces of which it is known what they share."""

from typing import NamedTuple

import numpy as np

from analogue.concepts import FeatureSpace
from analogue.features import FeatureActivations, top_tokens

N_FEATURES, N_TOKENS, L0 = 256, 4000, 8
D_A, D_B = 32, 48


class Spaces(NamedTuple):
    """Two feature spaces on the same tokens."""

    a: FeatureSpace
    b: FeatureSpace
    partner: np.ndarray
    """(n_features,) the feature of B that is each feature of A, -1 for private ones."""


def make_spaces(shared: float, noise: float, seed: int) -> Spaces:
    """Spaces that share a fraction of their features.

    A shared feature fires in B on the tokens on which it fires in A, except for a fraction `noise` of them that are
    others, and up to the factor exp(noise * standard normal). Its decoder row in B is A's, rotated, with `noise` of its
    length in a random direction. A private feature has its own tokens and its own random decoder row.
    """
    r = np.random.default_rng([seed, round(1000 * shared), round(1000 * noise)])
    frequency = r.permutation(np.arange(1, N_FEATURES + 1) ** -0.7)
    frequency *= L0 / frequency.sum()
    order, n_shared = r.permutation(N_FEATURES), round(shared * N_FEATURES)
    is_shared = np.arange(N_FEATURES) < n_shared
    acts_a = _fire(frequency, r)
    kept = acts_a * (r.random(acts_a.shape) >= noise) + _fire(noise * frequency, r)
    acts_b = np.where(is_shared, kept * np.exp(noise * r.standard_normal(kept.shape)), _fire(frequency, r))
    decoder_a, decoder_b = make_decoders(np.flatnonzero(is_shared), N_FEATURES, noise, r)
    partner = np.full(N_FEATURES, -1)
    partner[:n_shared] = np.argsort(order)[:n_shared]
    return Spaces(_space(acts_a, decoder_a), _space(acts_b[:, order], decoder_b[order]), partner)


def make_decoders(shared: np.ndarray, n: int, noise: float, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (n, d_a) and (n, d_b), those of `shared` equal up to one rotation and noise, all others unrelated."""
    decoder_a, decoder_b = _unit(r.standard_normal((n, D_A))), _unit(r.standard_normal((n, D_B)))
    rotation = np.linalg.qr(r.standard_normal((D_B, D_B)))[0][:D_A]
    decoder_b[shared] = np.sqrt(1 - noise**2) * decoder_a[shared] @ rotation + noise * decoder_b[shared]
    return decoder_a, _unit(decoder_b)


def _space(activations: np.ndarray, decoder: np.ndarray) -> FeatureSpace:
    """A feature space on a text of which every token is the same."""
    acts = FeatureActivations.from_dense(activations)
    return FeatureSpace(acts, top_tokens(acts, np.zeros(N_TOKENS, dtype=np.int64), ["."], 1), decoder)


def _fire(frequency: np.ndarray, r: np.random.Generator) -> np.ndarray:
    shape = N_TOKENS, len(frequency)
    return (r.random(shape) < frequency) * r.exponential(size=shape)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
