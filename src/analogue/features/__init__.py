"""Activations of SAE features over a token stream: gathered, stored, and interpreted by their top tokens."""

from analogue.features.activations import FeatureActivations
from analogue.features.collector import ActivationCollector
from analogue.features.spans import aggregate_spans
from analogue.features.store import ActivationStore, StoredActivations, content_key
from analogue.features.top_tokens import TopTokens, top_positions, top_tokens

__all__ = [
    "ActivationCollector",
    "ActivationStore",
    "FeatureActivations",
    "StoredActivations",
    "TopTokens",
    "aggregate_spans",
    "content_key",
    "top_positions",
    "top_tokens",
]
