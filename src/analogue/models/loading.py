"""Language models from the hub or a local directory."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from analogue.embedded import locate
from analogue.errors import UserError
from analogue.models.fingerprint import directory_fingerprint
from analogue.models.residual_stream import ResidualStream


@dataclass(frozen=True)
class LanguageModel:
    """What is known of a language model before its weights are read.

    Attributes:
        name: hub id, local directory or `embedded:` name, as the user gave it.
        source: what `transformers` loads: the hub id or the directory.
        revision: hub branch, tag or commit; None for the default branch and for directories.
        key: the configuration key of the name (`model_a.name`), for errors.
        n_layers: number of blocks.
        d_model: width of the residual stream.
        fingerprint: identifies the weights: the hub commit, or a hash of the directory.
    """

    name: str
    source: str
    revision: str | None
    key: str
    n_layers: int
    d_model: int
    fingerprint: str
    tokenizer: PreTrainedTokenizerBase

    def load(self, dtype: str = "float32") -> ResidualStream:
        """Read the weights, for inference, in `dtype`."""
        transformers_logging.disable_progress_bar()  # downloads show their own; reading from disk needs none
        model = AutoModel.from_pretrained(
            self.source, revision=self.revision, dtype=getattr(torch, dtype), use_safetensors=True
        )
        return ResidualStream(model.eval().requires_grad_(False), self.n_layers)

    def check_layer(self, layer: int, key: str) -> None:
        """Raise a `UserError` unless the model has a block `layer`."""
        if not 0 <= layer < self.n_layers:
            raise UserError(key, layer, f"{self.name} has blocks 0 to {self.n_layers - 1}")


def open_model(name: str, revision: str | None = None, key: str = "model.name") -> LanguageModel:
    """Read a model's configuration and tokenizer, not its weights.

    Raises:
        UserError: no such directory or hub id, or no tokenizer in it.
    """
    source = locate(name, key)
    looks_local = source.startswith((".", "/", "~")) or source.count("/") > 1
    source = str(Path(source).expanduser()) if looks_local else source
    if looks_local and not Path(source).is_dir():
        raise UserError(key, name, "is not a directory; give a hub id or a directory in transformers format")
    try:
        config = AutoConfig.from_pretrained(source, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(key, name, f"cannot be loaded ({reason}); give a hub id or a local directory") from error
    text_config = config.get_text_config()
    local = Path(source).is_dir()
    return LanguageModel(
        name=name,
        source=source,
        revision=revision,
        key=key,
        n_layers=text_config.num_hidden_layers,
        d_model=text_config.hidden_size,
        fingerprint=directory_fingerprint(source) if local else f"{source}@{config._commit_hash}",
        tokenizer=tokenizer,
    )
