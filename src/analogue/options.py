"""The choices that functions, configurations and records name, each defined once.

Members are strings: `Direction.a_to_b == "a_to_b"`, and functions take either.
"""

from enum import StrEnum


class Direction(StrEnum):
    """Which side claims its partners. Several features may claim one partner."""

    a_to_b = "a_to_b"
    b_to_a = "b_to_a"


class Keep(StrEnum):
    """Which of several claims on one feature stays: that of the highest correlation, the first, or none."""

    best = "best"
    first = "first"
    strict = "strict"


class Engine(StrEnum):
    """How best partners are found: by whichever is faster, by the walk on CPU cores, or by products of matrices."""

    auto = "auto"
    walk = "walk"
    dense = "dense"


class Hook(StrEnum):
    """Where the residual stream of a block is read: its output or its input."""

    resid_post = "resid_post"
    resid_pre = "resid_pre"


class Redrawn(StrEnum):
    """Which parameters of a randomised model are redrawn: all but the embeddings, or all."""

    weights = "weights"
    all = "all"


class Alignment(StrEnum):
    """What features are compared on: tokens, or the spans that two tokenisations have in common."""

    tokens = "tokens"
    spans = "spans"


class Aggregation(StrEnum):
    """How activations on the tokens of a span become its activation; `last` is that of its last token."""

    max = "max"
    mean = "mean"
    last = "last"


class NullKind(StrEnum):
    """What a null draws: shuffled pairings, random pairs of both whole spaces, or randomly rotated bases."""

    shuffle = "shuffle"
    random_pairs = "random_pairs"
    rotated = "rotated"
