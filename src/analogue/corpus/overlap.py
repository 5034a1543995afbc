"""Whether two token streams hold the same text."""

import numpy as np
from jaxtyping import Int64

WINDOW = 32
"""Tokens in a row by which a passage is recognised."""


def share_found_in(text: Int64[np.ndarray, " n"], other: Int64[np.ndarray, " m"], window: int = WINDOW) -> float:
    """Share of a text's runs of `window` tokens that stand in another text too, wherever they stand.

    Returns:
        A share in [0, 1]; 0 for a text shorter than a window.

    Example:
        >>> share_found_in(np.arange(100), np.arange(50, 300), window=10)
        0.45054945054945056
    """
    if len(text) < window:
        return 0.0
    return float(np.isin(_hashes(text, window), _hashes(other, window)).mean())


def _hashes(ids: np.ndarray, window: int) -> np.ndarray:
    """A 64-bit hash of every run of `window` tokens; two different runs share a hash with probability 2^-64."""
    if len(ids) < window:
        return np.empty(0, dtype=np.uint64)
    multipliers = np.random.default_rng(0).integers(2**63, size=window, dtype=np.uint64) | np.uint64(1)
    hashes = np.zeros(len(ids) - window + 1, dtype=np.uint64)
    for place, multiplier in enumerate(multipliers):
        hashes += ids[place : place + len(hashes)].astype(np.uint64) * multiplier  # modulo 2^64
    return hashes
