"""Pairs to scores: pure functions of two matrices whose rows belong together."""

from functools import partial

from analogue.similarity.inputs import MINIMUM_PAIRS
from analogue.similarity.metric import Metric, Scorer
from analogue.similarity.rsa import prepare_rsa, rsa
from analogue.similarity.svcca import prepare_svcca, prepare_svcca_pc1, svcca, svcca_pc1, svcca_warnings

METRICS: dict[str, Metric] = {
    "svcca": Metric(prepare_svcca, svcca_warnings),
    "svcca_pc1": Metric(prepare_svcca_pc1),
    "rsa": Metric(prepare_rsa),
    "rsa_correlation": Metric(partial(prepare_rsa, inner="correlation")),
    "rsa_cosine": Metric(partial(prepare_rsa, inner="cosine")),
}

__all__ = ["METRICS", "MINIMUM_PAIRS", "Metric", "Scorer", "rsa", "svcca", "svcca_pc1"]
