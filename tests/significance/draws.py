"""Draws of the shuffled-pairing null."""

from typing import Any

import numpy as np

from analogue.significance import score_against_null


def shuffled(x: Any, y: Any, metrics: list, n: int, seed: int) -> dict[str, np.ndarray]:
    """By metric, the scores of n shuffles."""
    return {result.metric: result.draws for result in score_against_null(x, y, metrics, n, seed)}
