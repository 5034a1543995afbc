"""The comparison of two feature spaces: its steps as public functions, and `compare`, which is those steps.

settings.py     what is asked for
sides.py        the two models and SAEs
corpus.py       text -> the tokens of both sides
activations.py  step 1: tokens -> feature activations, in one Lightning pass; cache.py, ranks.py
pairing.py      steps 2 and 3: activations -> pairs -> filtered pairs
scoring.py      steps 4 and 5: pairs -> scores and p-values; semantic subspaces
result.py       what was found
pipeline.py     `compare`: these steps one after the other
"""
