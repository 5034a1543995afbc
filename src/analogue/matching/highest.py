"""The highest correlation of every feature of both sides, again and again, with B's tokens in other orders.

Imported on first use, for numba takes a while to load.
"""

import numpy as np
from jaxtyping import Float64, Int64

from analogue.features import FeatureActivations
from analogue.matching.standardised import Columns, Operand, Standardised, as_correlations
from analogue.matching.walk import highest_silent
from analogue.matching.walk_columns import Scratch, highest_of_columns


class HighestCorrelations:
    """The highest correlation of every feature, as a function of the order of B's tokens.

    An order moves neither mean nor norm of a feature, so that both sides are standardised once; a call only looks up
    other rows of B. It takes sum over tokens of L0_a * L0_b products on one core, and holds one row of the correlation
    matrix: call it on several threads at once.

    Args:
        acts_a: activations (n_tokens, d_sae_a).
        acts_b: activations (n_tokens, d_sae_b) on the same tokens.

    Raises:
        ValueError: if the sides differ in n_tokens.
    """

    def __init__(self, acts_a: FeatureActivations, acts_b: FeatureActivations) -> None:
        if acts_a.n_tokens != acts_b.n_tokens:
            raise ValueError(f"expected both sides on the same tokens, got {acts_a.n_tokens} and {acts_b.n_tokens}")
        self._a, self._b = (Standardised.of(acts).operand() for acts in (acts_a, acts_b))
        self._columns = Columns.of(self._a)
        self._d_sae = acts_a.d_sae, acts_b.d_sae
        self._silent = highest_silent(self._a, self._b), highest_silent(self._b, self._a)

    def __call__(
        self, order: Int64[np.ndarray, " n_tokens"]
    ) -> tuple[Float64[np.ndarray, " d_sae_a"], Float64[np.ndarray, " d_sae_b"]]:
        """The highest correlations with token order[t] of B in the place of token t, in [-1, 1].

        NaN for a feature without variance. Never less than what the feature would correlate with any one that it never
        fires together with, whether or not there is one: below 0 for non-negative activations, so that only features
        that correlate negatively with all of the other side are given more than they have.
        """
        tokens = np.asarray(order, dtype=np.int32)[self._columns.tokens]
        highest = tuple(silent.copy() for silent in self._silent)
        scratch = Scratch(np.zeros(self._b.n_live), np.empty(self._b.n_live, dtype=np.int32))
        columns = Columns(self._columns.indptr, tokens, self._columns.values)
        highest_of_columns(self._a, columns, self._b, scratch, *highest)
        return _of_all(highest[0], self._a, self._d_sae[0]), _of_all(highest[1], self._b, self._d_sae[1])


def _of_all(highest: np.ndarray, side: Operand, d_sae: int) -> Float64[np.ndarray, " d_sae"]:
    """From labels to all features; where the other side has no feature with variance, there is no correlation."""
    found = np.full(d_sae, np.nan)
    found[side.features] = np.where(np.isinf(highest), np.nan, as_correlations(highest))
    return found
