"""Pairs to scores: pure functions of two matrices whose rows belong together."""

from analogue.similarity.cca import cca
from analogue.similarity.cka import cka, cka_debiased, cka_rbf
from analogue.similarity.cross_validated import svcca_cross_validated
from analogue.similarity.dissimilarity import dissimilarities
from analogue.similarity.inputs import MINIMUM_PAIRS, Permutation, namespace, stays_in_place
from analogue.similarity.kernels import kernels
from analogue.similarity.metric import Metric, Scorer
from analogue.similarity.neighbours import mutual_knn
from analogue.similarity.procrustes import procrustes
from analogue.similarity.pwcca import pwcca
from analogue.similarity.registry import METRICS, metric
from analogue.similarity.rsa import MatrixCorrelation, rsa
from analogue.similarity.svcca import svcca, svcca_pc1

__all__ = [
    "METRICS",
    "MINIMUM_PAIRS",
    "MatrixCorrelation",
    "Metric",
    "Permutation",
    "Scorer",
    "cca",
    "cka",
    "cka_debiased",
    "cka_rbf",
    "dissimilarities",
    "kernels",
    "metric",
    "mutual_knn",
    "namespace",
    "procrustes",
    "pwcca",
    "rsa",
    "stays_in_place",
    "svcca",
    "svcca_cross_validated",
    "svcca_pc1",
]
