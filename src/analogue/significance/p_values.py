"""p-values from a null distribution."""

import numpy as np
from jaxtyping import Float64

ROUNDING = 1e-12  # draws this close to the score are equal to it: summed in another order, no more


def p_value(score: float, null: Float64[np.ndarray, " n_null"]) -> float:
    """(1 + #(null >= score)) / (1 + N): the score counts as one draw, so p is never 0. In (0, 1]; NaN for a NaN score.

    Source:
        Phipson and Smyth 2010, "Permutation p-values should never be zero".
    """
    return (1 + n_at_least(score, null)) / (1 + len(null))


def p_value_published(score: float, null: Float64[np.ndarray, " n_null"]) -> float:
    """#(null >= score) / N, as in the published code; can be 0, and is NaN for no draws or a NaN score.

    Source:
        Lan et al. 2024, arXiv 2410.06981, published code.
    """
    return n_at_least(score, null) / len(null) if len(null) else float("nan")


def n_at_least(score: float, null: Float64[np.ndarray, " n_null"]) -> float:
    """How many draws reach the score; equality holds up to rounding.

    A draw that is NaN counts: it is no evidence for the score. NaN for a NaN score.
    """
    if np.isnan(score):
        return float("nan")
    below = np.asarray(null) < score - ROUNDING * max(abs(score), 1.0)
    return int((~below).sum())
