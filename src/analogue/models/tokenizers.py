"""Do two models read the same tokens? Judged by what the tokenizers hold and do, not by their names."""

import hashlib
import json

from transformers import PreTrainedTokenizerBase

PROBE = "Hello  World!\n\n\tdef f(x):\n    return 3.14159 * x  # it's caf\u00e9, \u65e5\u672c\u8a9e \U0001f642\r\n "
"""Text on which normalisers, pre-tokenisers and the adding of special tokens differ."""


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of vocabulary, merges, and the ids of a probe text.

    Normaliser, pre-tokeniser and post-processor are judged by what they do: the same one can be written down in several
    ways, and is, in the files of related models.
    """
    if tokenizer.is_fast:
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        contents = {"vocabulary": model["vocab"], "merges": model.get("merges")}
    else:
        contents = {"vocabulary": tokenizer.get_vocab()}
    contents["probe"] = list(tokenizer(PROBE)["input_ids"])
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
