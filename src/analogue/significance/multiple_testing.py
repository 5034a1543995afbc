"""Correction for testing many comparisons at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64


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
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise ValueError(f"expected a sequence of p-values in [0, 1], got {p_values}")
    adjusted = np.full_like(p, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    descending = tested[np.argsort(-p[tested], kind="stable")]
    steps = p[descending] * len(tested) / np.arange(len(tested), 0, -1)
    adjusted[descending] = np.minimum.accumulate(np.minimum(steps, 1.0))
    return adjusted
