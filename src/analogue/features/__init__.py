"""Activations of SAE features over a token stream: gathered, stored, and interpreted by their top tokens."""

from analogue.features.activations import FeatureActivations
from analogue.features.collector import ActivationCollector
from analogue.features.examples import (
    EVERY,
    HeldActivations,
    example_positions,
    held_activations,
    inside,
    sample_size,
    sampled,
    windows,
)
from analogue.features.outliers import TokenNorms, outliers
from analogue.features.spans import aggregate_spans
from analogue.features.store import ActivationStore, StoredActivations, content_key
from analogue.features.top_tokens import FRAGMENT, TopTokens, top_positions, top_tokens

__all__ = [
    "EVERY",
    "FRAGMENT",
    "ActivationCollector",
    "ActivationStore",
    "FeatureActivations",
    "HeldActivations",
    "StoredActivations",
    "TokenNorms",
    "TopTokens",
    "aggregate_spans",
    "content_key",
    "example_positions",
    "held_activations",
    "inside",
    "outliers",
    "sample_size",
    "sampled",
    "top_positions",
    "top_tokens",
    "windows",
]
