"""The comparison of two feature spaces: its steps as public functions, and `compare`, which is those steps.

sides.py        the two models and SAEs
corpus.py       text -> the tokens of both sides
activations.py  step 1: tokens -> feature activations, in one Lightning pass; cache.py, ranks.py
pairing.py      steps 2 and 3: activations -> pairs -> filtered pairs
scoring.py      steps 4 and 5: pairs -> scores and p-values of scores and of pairs; semantic subspaces
transfer.py     whether paired features can be used in the other model; transfer_text.py, transfer_passes.py,
                transfer_metrics.py, interventions.py, transfer_record.py
result.py       what was found
pipeline.py     `compare`: these steps one after the other

>>> from analogue import Filters, Matching, Null, Side
>>> from analogue.settings import STORIES
>>> a = open_side(Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_3"), "a")
>>> b = open_side(Side("embedded:stories-12", 6, "embedded:stories-12-saes/layer_6"), "b")
>>> text = tokenise_corpus(STORIES, a, b)
>>> collected = collect_activations([a, b], text)
>>> acts_a, acts_b = (text.on_units(label, collected.activations[label].activations) for label in "ab")
>>> matching, filters = Matching(), Filters()
>>> pairs = pair_features(acts_a, acts_b, chosen_rule(matching, a, b), matching)
>>> space_a = describe_features(a, acts_a, text.units(a), filters.top_tokens)
>>> space_b = describe_features(b, acts_b, text.units(a), filters.top_tokens)
>>> pairing = filter_pairs(pairs, space_a, space_b, filters, special_tokens_of(a, b))
>>> pairing.funnel[-1]
('minimum_correlation', 227)
>>> [rsa] = score_pairs(pairing.pairs, space_a, space_b, ["rsa"], Null(n=19)).similarity
>>> round(rsa.score, 4), rsa.p_value
(0.1798, 0.05)
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
from analogue.comparison.scoring import (
    Scores,
    evidence_for_pairs,
    score_activations,
    score_dictionaries,
    score_pairs,
    score_subspaces,
)
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
    "evidence_for_pairs",
    "filter_pairs",
    "open_side",
    "pair_features",
    "score_activations",
    "score_dictionaries",
    "score_pairs",
    "score_subspaces",
    "special_tokens_of",
    "tokenise_corpus",
]
