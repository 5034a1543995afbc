"""Similarity metrics by name, in the form that permutation nulls need."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from jaxtyping import Float

from analogue.similarity.backend import Scorer, as_array
from analogue.similarity.cca import (
    MINIMUM_SPLIT_PAIRS,
    VARIANCE,
    floor_warnings,
    prepare_cca,
    prepare_svcca,
    prepare_svcca_cross_validated,
)
from analogue.similarity.cka import MINIMUM_DEBIASED_PAIRS, prepare_cka, prepare_cka_debiased, prepare_cka_rbf
from analogue.similarity.inputs import MINIMUM_PAIRS, as_pairs, identity
from analogue.similarity.moments import (
    FromMoments,
    cka_from_moments,
    procrustes_from_moments,
    svcca_from_moments,
)
from analogue.similarity.neighbours import neighbour_warnings, prepare_mutual_knn
from analogue.similarity.procrustes import prepare_procrustes
from analogue.similarity.pwcca import prepare_pwcca
from analogue.similarity.rsa import prepare_rsa, undefined_distances


def not_known(x: Any, y: Any) -> None:
    """For metrics that lack a score only because of too few pairs or a side that does not vary."""
    return


def no_warnings(x: Any, y: Any) -> list[str]:
    """For metrics that need no caution."""
    return []


@dataclass(frozen=True)
class Metric:
    """A metric that can be scored quickly under permutations of the rows of one side.

    A user's own function becomes one with `from_function`, in YAML too:
    `{_target_: analogue.similarity.Metric.from_function, name: mine, function: {_target_: hydra.utils.get_method,
    path: my_package.my_metric}}`.

    Attributes:
        name: in tables and records.
        prepare: takes x (n_pairs, d_a) and y (n_pairs, d_b), arrays or tensors of any device, computes once what a
            permutation of y's rows does not change, and returns the score of (x, y[permutation]) as a function of the
            permutation, a NumPy array.
        warnings: what a reader of the score of (x, y) should know.
        minimum_pairs: fewer pairs than this have no score.
        why_undefined: why (x, y) have no score, apart from too few pairs and a side that does not vary; None if the
            reason is one of these two.
        from_moments: the score from the inner products of the centred columns of x and y alone, for matrices of many
            rows; None for a metric that needs the rows.
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
    why_undefined: Callable[[Any, Any], str | None] = not_known
    from_moments: FromMoments | None = None

    def __call__(self, x: Float[Any, "n_pairs d_a"], y: Float[Any, "n_pairs d_b"]) -> float:
        """The score of x and y as they are paired."""
        return self.prepare(x, y)(identity(x))

    def with_seed(self, seed: int) -> "Metric":
        """This metric with its random choices made from this seed; the metric itself if it makes none."""
        return replace(self, prepare=partial(self.prepare, seed=seed)) if self.takes_seed else self

    @classmethod
    def from_function(
        cls, name: str, function: Callable[[Any, Any], float], minimum_pairs: int = MINIMUM_PAIRS
    ) -> "Metric":
        """A metric without a prepared form: every draw computes `function(x, y[permutation])` anew.

        The function is given NumPy arrays of float64, also where x and y are tensors on a device.
        """

        def prepare(x: Any, y: Any) -> Scorer:
            x, y = (as_array(side) for side in as_pairs(x, y, minimum_pairs))
            return lambda permutation: float(function(x, y[permutation]))

        return cls(name, prepare, minimum_pairs=minimum_pairs)


_ALL = (
    Metric(
        "svcca",
        prepare_svcca,
        partial(floor_warnings, variance=VARIANCE),
        from_moments=partial(svcca_from_moments, variance=VARIANCE),
    ),
    Metric(
        "svcca_pc1",
        partial(prepare_svcca, n_components=1),
        from_moments=partial(svcca_from_moments, n_components=1),
    ),
    Metric(
        "svcca_cross_validated",
        partial(prepare_svcca_cross_validated, seed=0),  # `with_seed` replaces it
        minimum_pairs=MINIMUM_SPLIT_PAIRS,
        takes_seed=True,
    ),
    Metric("cca", prepare_cca, floor_warnings),
    Metric("cca_squared", partial(prepare_cca, squared=True), floor_warnings),
    Metric("pwcca", prepare_pwcca, floor_warnings),
    Metric("pwcca_canonical", partial(prepare_pwcca, weights="canonical"), floor_warnings),
    Metric("rsa", prepare_rsa),
    Metric(
        "rsa_correlation",
        partial(prepare_rsa, inner="correlation"),
        why_undefined=partial(undefined_distances, inner="correlation"),
    ),
    Metric(
        "rsa_cosine", partial(prepare_rsa, inner="cosine"), why_undefined=partial(undefined_distances, inner="cosine")
    ),
    Metric("cka", prepare_cka, from_moments=cka_from_moments),
    Metric("cka_debiased", prepare_cka_debiased, minimum_pairs=MINIMUM_DEBIASED_PAIRS),
    Metric("cka_rbf", prepare_cka_rbf),
    Metric("procrustes", prepare_procrustes, from_moments=procrustes_from_moments),
    Metric("mutual_knn", prepare_mutual_knn, neighbour_warnings),
    Metric("mutual_knn_jaccard", partial(prepare_mutual_knn, agreement="jaccard"), neighbour_warnings),
)
METRICS: dict[str, Metric] = {each.name: each for each in _ALL}
"""The metrics by the names that configurations and records use."""


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ValueError: there is none; the message names the closest and lists all.
    """
    if name in METRICS:
        return METRICS[name]
    close = get_close_matches(name, METRICS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"unknown metric {name!r}: {hint}known are {', '.join(METRICS)}")
