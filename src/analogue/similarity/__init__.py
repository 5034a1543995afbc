"""Pairs to scores: pure functions of two matrices whose rows are paired."""

from analogue.similarity.backend import Permutation, Scorer, namespace
from analogue.similarity.cca import cca, svcca, svcca_cross_validated, svcca_pc1
from analogue.similarity.cka import cka, cka_debiased, cka_rbf
from analogue.similarity.dictionaries import DictionaryConsistency, dictionary_consistency
from analogue.similarity.inputs import MINIMUM_PAIRS, stays_in_place
from analogue.similarity.metric import METRICS, Metric, metric
from analogue.similarity.moments import FromMoments, MomentScorer
from analogue.similarity.neighbours import mutual_knn
from analogue.similarity.procrustes import procrustes
from analogue.similarity.pwcca import pwcca
from analogue.similarity.rsa import MatrixCorrelation, dissimilarities, rsa

__all__ = [
    "METRICS",
    "MINIMUM_PAIRS",
    "DictionaryConsistency",
    "FromMoments",
    "MatrixCorrelation",
    "Metric",
    "MomentScorer",
    "Permutation",
    "Scorer",
    "cca",
    "cka",
    "cka_debiased",
    "cka_rbf",
    "dictionary_consistency",
    "dissimilarities",
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
