"""Tokens to residual stream."""

from analogue.models.cross_entropy import Reconstruct, loss_of_text, next_token_loss, recovered
from analogue.models.identity import directory_fingerprint, model_fingerprint, same_weights, tokenizer_fingerprint
from analogue.models.loading import LanguageModel, open_model
from analogue.models.logit_lens import PromotedTokens, promoted_tokens
from analogue.models.norms import uses_layer_norm
from analogue.models.prefix import Prefix
from analogue.models.randomise import redraw_parameters
from analogue.models.residual_stream import ResidualStream, find_blocks

__all__ = [
    "LanguageModel",
    "Prefix",
    "PromotedTokens",
    "Reconstruct",
    "ResidualStream",
    "directory_fingerprint",
    "find_blocks",
    "loss_of_text",
    "model_fingerprint",
    "next_token_loss",
    "open_model",
    "promoted_tokens",
    "recovered",
    "redraw_parameters",
    "same_weights",
    "tokenizer_fingerprint",
    "uses_layer_norm",
]
