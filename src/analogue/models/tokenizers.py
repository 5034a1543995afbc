"""Do two models read the same tokens? Judged by what the tokenizers hold, not by their names."""

import hashlib
import json

from transformers import PreTrainedTokenizerBase


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides how text is cut: vocabulary, merges, normaliser and pre-tokeniser."""
    if tokenizer.is_fast:
        parts = json.loads(tokenizer.backend_tokenizer.to_str())
        deciding = {name: parts[name] for name in ("model", "normalizer", "pre_tokenizer", "post_processor")}
    else:
        deciding = {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
