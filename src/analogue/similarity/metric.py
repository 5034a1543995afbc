"""A similarity metric that can be scored quickly under permutations of one side's rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from analogue.similarity.inputs import MINIMUM_PAIRS, Permutation, as_array, as_pairs

Scorer = Callable[[Permutation], float]


def no_warnings(x: Any, y: Any) -> list[str]:
    """For metrics that need no caution."""
    return []


def undefined(permutation: Permutation) -> float:
    """The scorer of pairs of which a side does not vary: NaN whatever the pairing."""
    return float("nan")


@dataclass(frozen=True)
class Metric:
    """A metric in the form that a permutation null needs.

    A user's own function becomes one with `from_function`, in YAML too:
    `{_target_: analogue.similarity.Metric.from_function, name: mine, function: {_target_: hydra.utils.get_method,
    path: my_package.my_metric}}`.

    Attributes:
        name: what tables and records call it.
        prepare: takes x (n_pairs, d_a) and y (n_pairs, d_b), arrays or tensors of any device, computes once what a
            permutation of y's rows does not change, and returns the score of (x, y[permutation]) as a function of the
            permutation, a NumPy array.
        warnings: what a reader of the score of (x, y) should be told.
        minimum_pairs: fewer pairs than this have no score.
        takes_seed: whether the score depends on a random choice, by an argument `seed` of `prepare`; see `with_seed`.

    Example:
        >>> import numpy as np
        >>> from analogue.similarity import metric
        >>> x = np.random.default_rng(0).standard_normal((20, 4))
        >>> round(metric("procrustes")(x, 3.0 * x + 1.0), 6)
        1.0
    """

    name: str
    prepare: Callable[..., Scorer]
    warnings: Callable[[Any, Any], list[str]] = no_warnings
    minimum_pairs: int = MINIMUM_PAIRS
    takes_seed: bool = False

    def __call__(self, x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
        """The score of x and y as they are paired."""
        return self.prepare(x, y)(np.arange(len(x)))

    def with_seed(self, seed: int) -> "Metric":
        """This metric, its random choices made from this seed; itself where it makes none."""
        return replace(self, prepare=partial(self.prepare, seed=seed)) if self.takes_seed else self

    @classmethod
    def from_function(
        cls, name: str, function: Callable[[Any, Any], float], minimum_pairs: int = MINIMUM_PAIRS
    ) -> "Metric":
        """A metric without a quick form: `function(x, y[permutation])` from the beginning for every draw.

        The function is given NumPy arrays of float64, also where x and y are tensors on a device.
        """

        def prepare(x: Any, y: Any) -> Scorer:
            x, y = (as_array(side) for side in as_pairs(x, y, minimum_pairs))
            return lambda permutation: float(function(x, y[permutation]))

        return cls(name, prepare, minimum_pairs=minimum_pairs)
