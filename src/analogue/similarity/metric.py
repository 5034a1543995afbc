"""A similarity metric that can be scored quickly under permutations of one side's rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

Permutation = Int64[np.ndarray, " n_pairs"]
Scorer = Callable[[Permutation], float]


def no_warnings(x: Any, y: Any) -> list[str]:
    """For metrics that need no caution."""
    return []


@dataclass(frozen=True)
class Metric:
    """A metric in the form that a permutation null needs.

    Attributes:
        prepare: takes x (n_pairs, d_a) and y (n_pairs, d_b), computes once what a permutation of y's rows does not
            change, and returns the score of (x, y[permutation]) as a function of the permutation.
        warnings: what a reader of the score of (x, y) should be told.
    """

    prepare: Callable[[Any, Any], Scorer]
    warnings: Callable[[Any, Any], list[str]] = no_warnings

    def __call__(self, x: Any, y: Any) -> float:
        """The score of x and y as they are paired."""
        return self.prepare(x, y)(np.arange(len(x)))
