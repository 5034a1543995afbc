"""The metrics by the names that configurations and records use."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

from analogue.similarity.cca import cca_warnings, prepare_cca
from analogue.similarity.cka import MINIMUM_DEBIASED_PAIRS, prepare_cka, prepare_cka_debiased, prepare_cka_rbf
from analogue.similarity.cross_validated import MINIMUM_SPLIT_PAIRS, prepare_svcca_cross_validated
from analogue.similarity.inputs import MINIMUM_PAIRS
from analogue.similarity.metric import Metric, Scorer, no_warnings
from analogue.similarity.neighbours import neighbour_warnings, prepare_mutual_knn
from analogue.similarity.procrustes import prepare_procrustes
from analogue.similarity.pwcca import prepare_pwcca
from analogue.similarity.rsa import prepare_rsa
from analogue.similarity.svcca import prepare_svcca, svcca_warnings

METRICS: dict[str, Metric] = {}


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


def _add(
    name: str,
    prepare: Callable[[Any, Any], Scorer],
    warnings: Callable[[Any, Any], list[str]] = no_warnings,
    minimum_pairs: int = MINIMUM_PAIRS,
) -> None:
    METRICS[name] = Metric(name, prepare, warnings, minimum_pairs)


_add("svcca", prepare_svcca, svcca_warnings)
_add("svcca_pc1", partial(prepare_svcca, n_components=1))
METRICS["svcca_cross_validated"] = Metric(
    "svcca_cross_validated",
    partial(prepare_svcca_cross_validated, seed=0),  # `with_seed` puts another in its place
    minimum_pairs=MINIMUM_SPLIT_PAIRS,
    takes_seed=True,
)
_add("cca", prepare_cca, cca_warnings)
_add("cca_squared", partial(prepare_cca, squared=True), cca_warnings)
_add("pwcca", prepare_pwcca, cca_warnings)
_add("pwcca_canonical", partial(prepare_pwcca, weights="canonical"), cca_warnings)
_add("rsa", prepare_rsa)
_add("rsa_correlation", partial(prepare_rsa, inner="correlation"))
_add("rsa_cosine", partial(prepare_rsa, inner="cosine"))
_add("cka", prepare_cka)
_add("cka_debiased", prepare_cka_debiased, minimum_pairs=MINIMUM_DEBIASED_PAIRS)
_add("cka_rbf", prepare_cka_rbf)
_add("procrustes", prepare_procrustes)
_add("mutual_knn", prepare_mutual_knn, neighbour_warnings)
_add("mutual_knn_jaccard", partial(prepare_mutual_knn, agreement="jaccard"), neighbour_warnings)
