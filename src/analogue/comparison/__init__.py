"""The comparison of two feature spaces: its steps as public functions, and `compare`, which is those steps.

sides.py        the two models and SAEs
corpus.py       text -> the tokens of both sides
activations.py  step 1: tokens -> feature activations, in one Lightning pass; cache.py, ranks.py
pairing.py      steps 2 and 3: activations -> pairs -> filtered pairs
scoring.py      steps 4 and 5: pairs -> scores and p-values; semantic subspaces
result.py       what was found
pipeline.py     `compare`: these steps one after the other
"""

from analogue.comparison.activations import Collected, collect_activations
from analogue.comparison.corpus import TokenisedCorpus, tokenise_corpus
from analogue.comparison.pairing import (
    Pairing,
    chosen_rule,
    describe_features,
    filter_pairs,
    pair_features,
    special_tokens_of,
)
from analogue.comparison.pipeline import compare
from analogue.comparison.result import Comparison, assemble
from analogue.comparison.scoring import Scores, score_pairs, score_subspaces
from analogue.comparison.sides import OpenSide, open_side

__all__ = [
    "Collected",
    "Comparison",
    "OpenSide",
    "Pairing",
    "Scores",
    "TokenisedCorpus",
    "assemble",
    "chosen_rule",
    "collect_activations",
    "compare",
    "describe_features",
    "filter_pairs",
    "open_side",
    "pair_features",
    "score_pairs",
    "score_subspaces",
    "special_tokens_of",
    "tokenise_corpus",
]
