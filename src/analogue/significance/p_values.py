"""p-values from a null distribution, and their correction for many tests."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

ROUNDING = 1e-12  # draws that differ from the score by less than this are equal to it but for the order of summation


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

    A draw that is NaN counts as reaching it, which is the conservative choice. NaN for a NaN score.
    """
    if np.isnan(score):
        return float("nan")
    below = np.asarray(null) < score - ROUNDING * max(abs(score), 1.0)
    return int((~below).sum())


def benjamini_hochberg(
    p_values: Float[np.ndarray, " n_tests"] | Sequence[float],
) -> Float64[np.ndarray, " n_tests"]:
    """Adjusted p-values: those below q are the discoveries at a false discovery rate of q.

    Args:
        p_values: (n_tests,) in [0, 1]; NaN where a test could not be made. NaN stays NaN and is not counted.

    Returns:
        (n_tests,) adjusted p-values in [0, 1], in the order given, none below its p-value.

    Raises:
        ValueError: not one-dimensional, or a p-value outside [0, 1].

    Source:
        Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289, the step-up procedure.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    if adjusted.ndim != 1 or ((adjusted < 0) | (adjusted > 1)).any():
        raise ValueError(f"expected a sequence of p-values in [0, 1], got {p_values}")
    tested = ~np.isnan(adjusted)
    if tested.sum() > 1:  # one test needs no correction, and scipy.stats takes longer to load than a table to print
        from scipy.stats import false_discovery_control

        adjusted[tested] = false_discovery_control(adjusted[tested])
    return adjusted
