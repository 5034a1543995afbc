"""Language models from the hub or a local directory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from analogue.embedded import locate
from analogue.errors import UserError, first_line
from analogue.hub import hub_errors
from analogue.models.fingerprint import cached_commit, directory_fingerprint
from analogue.models.randomise import Redrawn, redraw_parameters
from analogue.models.residual_stream import Hook, ResidualStream

OWN_CODE = {"trust_remote_code": False}  # unsaid, transformers asks at the terminal whether to run what lies there


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
        vocab_size: tokens that it has embeddings for.
        n_positions: the longest sequence that it reads; None where the configuration sets no limit.
        fingerprint: identifies the weights: the hub commit or a hash of the directory, and how they were redrawn.
        hook: which residual stream of a block is read.
        randomize: which parameters `load` redraws; None for the model as it was trained.
        randomize_seed: of the redrawing.
        device_map: `auto` to spread a model that fits no single device over all there are; None to leave its place to
            the trainer.
    """

    name: str
    source: str
    revision: str | None
    key: str
    n_layers: int
    d_model: int
    vocab_size: int
    n_positions: int | None
    fingerprint: str
    tokenizer: PreTrainedTokenizerBase
    hook: Hook = "resid_post"
    randomize: Redrawn | None = None
    randomize_seed: int = 0
    device_map: str | None = None

    def load(self, dtype: str = "float32", with_head: bool = False) -> ResidualStream:
        """Read the weights, for inference, in `dtype`; from the hub if they are not in its cache.

        Files are mapped into memory: where they hold another dtype, their pages add to the process's memory until they
        are wanted elsewhere.

        Args:
            dtype: of the weights.
            with_head: whether the stream's `model` can predict tokens, too.

        Raises:
            UserError: the weights are not there, or do not fit the configuration.
        """
        transformers_logging.disable_progress_bar()  # downloads show their own; reading from disk needs none
        with _loading_errors(self.key, self.name, self.source, self.device_map), _quiet():
            # safetensors where there are any; where there are none, torch reads tensors only (weights_only)
            loader: Any = AutoModelForCausalLM if with_head else AutoModel
            model, found = loader.from_pretrained(
                self.source,
                revision=self.revision,
                dtype=getattr(torch, dtype),
                device_map=self.device_map,
                output_loading_info=True,
                **OWN_CODE,
            )
        missing = [name for name in sorted(found["missing_keys"]) if not name.startswith("pooler")]  # after the blocks
        if missing:
            raise UserError(self.key, self.name, f"holds no weights for {missing[0]}; its files are incomplete")
        model.eval().requires_grad_(False)
        if self.randomize:
            redraw_parameters(model, self.randomize_seed, embeddings=self.randomize == "all")
        try:
            return ResidualStream(model, self.n_layers, self.hook, movable=self.device_map is None)
        except ValueError as error:
            raise UserError(self.key, self.name, f"has an architecture that cannot be read: {error}") from error

    def check_layer(self, layer: int, key: str) -> None:
        """Raise a `UserError` unless the model has a block `layer`."""
        if not 0 <= layer < self.n_layers:
            raise UserError(key, layer, f"{self.name} has blocks 0 to {self.n_layers - 1}")

    def check_seq_len(self, seq_len: int, key: str = "data.seq_len") -> None:
        """Raise a `UserError` if the model has no position for the last of that many tokens."""
        if self.n_positions is not None and seq_len > self.n_positions:
            raise UserError(key, seq_len, f"{self.name} ({self.key}) reads at most {self.n_positions} tokens at a time")

    def check_token_ids(self, highest: int) -> None:
        """Raise a `UserError` if the model has no embedding for a token that its tokenizer makes."""
        if highest >= self.vocab_size:
            problem = f"has embeddings for {self.vocab_size} tokens, but its tokenizer makes token {highest}"
            raise UserError(self.key, self.name, f"{problem}; the tokenizer belongs to another model")


def open_model(
    name: str,
    revision: str | None = None,
    key: str = "model.name",
    hook: Hook = "resid_post",
    randomize: Redrawn | None = None,
    randomize_seed: int = 0,
    device_map: str | None = None,
) -> LanguageModel:
    """Read a model's configuration and tokenizer, not its weights.

    Args:
        name: hub id, directory in transformers format, or an `embedded:` name.
        revision: branch, tag or commit on the hub.
        key: the configuration key of the name, for errors.
        hook: `resid_post`, a block's output, or `resid_pre`, its input.
        randomize: `weights` to redraw every parameter but the embeddings when the model is loaded, `all` to redraw
            those too.
        randomize_seed: of the redrawing.
        device_map: `auto` to spread the model over all devices, as `transformers` does; None for one device.

    Raises:
        UserError: no such directory or hub id, no access to it, no network, or no tokenizer in it.
    """
    source = locate(name, key)
    looks_local = source.startswith((".", "/", "~")) or source.count("/") > 1
    source = str(Path(source).expanduser()) if looks_local else source
    if looks_local and not Path(source).is_dir():
        raise UserError(key, name, "is not a directory; give a hub id or a directory in transformers format")
    with _loading_errors(key, name, source):
        config = AutoConfig.from_pretrained(source, revision=revision, **OWN_CODE)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, **OWN_CODE)
    if config.is_encoder_decoder:
        raise UserError(key, name, "has an encoder and a decoder; give a model of one stack of blocks")
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):  # made up where there are no files for it
        raise UserError(key, name, "holds no tokenizer; save it there too (tokenizer.save_pretrained)")
    text_config = config.get_text_config()
    fingerprint = (
        directory_fingerprint(source) if Path(source).is_dir() else f"{source}@{cached_commit(source, revision)}"
    )
    redrawn = f" redrawn={randomize} seed={randomize_seed}" if randomize else ""
    return LanguageModel(
        name=name,
        source=source,
        revision=revision,
        key=key,
        n_layers=text_config.num_hidden_layers,
        d_model=text_config.hidden_size,
        vocab_size=text_config.vocab_size,
        n_positions=_n_positions(text_config),
        fingerprint=fingerprint + redrawn,
        tokenizer=tokenizer,
        hook=hook,
        randomize=randomize,
        randomize_seed=randomize_seed,
        device_map=device_map,
    )


def _n_positions(config: Any) -> int | None:
    """The longest sequence; RoBERTa and its kin count positions from behind the padding token's id."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    is_rotary = getattr(config, "rope_parameters", None) is not None
    if limit is None or is_rotary or getattr(config, "pad_token_id", None) is None:
        return limit
    with torch.device("meta"):
        skeleton = AutoModel.from_config(config, **OWN_CODE)
    tables = (each for each in skeleton.modules() if isinstance(each, nn.Embedding))
    unused = [each.padding_idx + 1 for each in tables if each.num_embeddings == limit and each.padding_idx is not None]
    return limit - max(unused, default=0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the report on the language-modelling head, which is in the files and not in the model."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


@contextmanager
def _loading_errors(key: str, name: str, source: str, device_map: str | None = None) -> Iterator[None]:
    try:
        with nullcontext() if Path(source).is_dir() else hub_errors(key, name):
            yield
    except UserError:
        raise
    except Exception as error:  # tokenizers raise bare ones, transformers whatever a damaged file leads to
        if "trust_remote_code" in str(error):
            problem = "needs code of its own, which is never run; give a model whose architecture transformers knows"
            raise UserError(key, name, problem) from error
        if "device_map" in str(error):
            raise UserError(key.replace(".name", ".device_map"), device_map, first_line(error)) from error
        told = f"cannot be loaded ({first_line(error)}); give a hub id, or a directory in transformers format"
        raise UserError(key, name, told) from error
