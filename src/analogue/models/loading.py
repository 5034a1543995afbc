"""Language models: from the hub, from a local directory, or objects at hand."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from analogue.embedded import locate
from analogue.errors import (
    ArgumentError,
    InvalidArgument,
    NotFound,
    Unavailable,
    check_option,
    check_path,
    check_seed,
    first_line,
)
from analogue.hub import hub_errors
from analogue.models.identity import cached_commit, damaged_download, directory_fingerprint, model_fingerprint
from analogue.models.randomise import redraw_parameters
from analogue.models.residual_stream import ResidualStream
from analogue.options import Hook, Redrawn

OWN_CODE = {"trust_remote_code": False}  # without it, transformers asks at the terminal whether to run a model's code


@dataclass(frozen=True)
class LanguageModel:
    """What is known of a language model before its weights are needed.

    Attributes:
        name: hub id, local directory or `embedded:` name, as the user gave it; that of an object comes from its
            configuration, or is its class's.
        source: what is loaded: a hub id, a directory, or the model object itself.
        revision: hub branch, tag or commit; None for the default branch, directories and objects.
        n_layers: number of blocks.
        d_model: width of the residual stream.
        vocab_size: number of tokens that it has embeddings for.
        n_positions: the longest sequence that it reads; None where the configuration sets no limit.
        fingerprint: identifies the weights: the hub commit or a hash of the contents, and how they were redrawn.
        hook: what is read of a block.
        randomize: which parameters `load` redraws; None for the model as it was trained.
        randomize_seed: of the redrawing.
        device_map: `auto` to spread a model that fits no single device over all there are; None to leave its place to
            the trainer.
        gguf_file: the file of that format, beside or in place of the others, that weights and tokenizer are read from.
    """

    name: str
    source: str | PreTrainedModel
    revision: str | None
    n_layers: int
    d_model: int
    vocab_size: int
    n_positions: int | None
    fingerprint: str
    tokenizer: PreTrainedTokenizerBase
    hook: str = Hook.resid_post
    randomize: str | None = None
    randomize_seed: int = 0
    device_map: str | None = None
    gguf_file: str | None = None

    def load(self, dtype: str = "float32", with_head: bool = False) -> ResidualStream:
        """Read the weights for inference, from the hub if they are not in its cache.

        Files are mapped into memory: where they hold another dtype, their pages add to the process's memory until the
        system needs them elsewhere. A model that was given as an object is read where it is and as it is: on its
        device, in its precision, in evaluation mode only while it runs. To be randomised it is copied.

        Args:
            dtype: of the weights; an object keeps its own.
            with_head: whether the stream's `model` must be able to predict tokens.

        Raises:
            Unavailable: the weights cannot be downloaded or read, or are incomplete.
            InvalidArgument: `model` has no head, or is built in a way that cannot be read.
        """
        if isinstance(self.source, PreTrainedModel):
            model: Any = deepcopy(self.source).eval() if self.randomize else self.source
            if with_head and model.get_output_embeddings() is None:
                raise InvalidArgument("model", self.name, "has no language-model head; give the model with its head")
        else:
            model = self._read(self.source, dtype, with_head)
        if self.randomize:
            redraw_parameters(model, self.randomize_seed, embeddings=self.randomize == Redrawn.all)
        movable = model is not self.source and self.device_map is None
        try:
            return ResidualStream(model, self.n_layers, self.hook, movable)
        except ValueError as error:
            raise InvalidArgument("model", self.name, f"has an architecture that cannot be read: {error}") from error

    def check_layer(self, layer: int) -> None:
        """Raise `InvalidArgument` unless the model has a block `layer`."""
        if not 0 <= layer < self.n_layers:
            raise InvalidArgument("layer", layer, f"{self.name} has blocks 0 to {self.n_layers - 1}")

    def check_seq_len(self, seq_len: int) -> None:
        """Raise `InvalidArgument` if the model has no position for the last of that many tokens."""
        if self.n_positions is not None and seq_len > self.n_positions:
            problem = f"{self.name} (`model`) reads at most {self.n_positions} tokens at a time"
            raise InvalidArgument("seq_len", seq_len, problem)

    def check_token_ids(self, highest: int) -> None:
        """Raise `InvalidArgument` if the model has no embedding for a token that its tokenizer makes."""
        if highest >= self.vocab_size:
            problem = f"has embeddings for {self.vocab_size} tokens, but its tokenizer makes token {highest}"
            raise InvalidArgument("model", self.name, f"{problem}; the tokenizer belongs to another model")

    def _read(self, source: str, dtype: str, with_head: bool) -> PreTrainedModel:
        bars = redirect_stderr(StringIO()) if self.gguf_file else nullcontext()  # no setting turns off those of GGUF
        with _loading_errors(self.name, source, self.device_map), _quiet(), bars:
            # safetensors where there are any; where there are none, torch reads tensors only (weights_only)
            loader: Any = AutoModelForCausalLM if with_head else AutoModel
            model, found = loader.from_pretrained(
                source,
                revision=self.revision,
                dtype=getattr(torch, dtype),
                device_map=self.device_map,
                output_loading_info=True,
                **_only_in(self.gguf_file),
                **OWN_CODE,
            )
        if not Path(source).is_dir() and (damaged := damaged_download(source, self.revision, self.gguf_file)):
            problem = f"has a damaged file in the hub's cache; delete {damaged}, and it is downloaded again"
            raise Unavailable("model", self.name, problem)
        missing = [name for name in sorted(found["missing_keys"]) if not name.startswith("pooler")]  # after the blocks
        if missing:
            raise Unavailable("model", self.name, f"holds no weights for {missing[0]}; its files are incomplete")
        return model.eval().requires_grad_(False)


def open_model(
    model: str | PathLike[str] | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    revision: str | None = None,
    hook: str = Hook.resid_post,
    randomize: str | None = None,
    randomize_seed: int = 0,
    device_map: str | None = None,
    gguf_file: str | None = None,
) -> LanguageModel:
    """Learn what a model is from its configuration, and read its tokenizer, not its weights.

    Args:
        model: hub id, directory in transformers format or `embedded:` name; or a `transformers` model, which stays as
            it is and where it is.
        tokenizer: of the model; None to read the one that lies with a named model.
        revision: branch, tag or commit on the hub.
        hook: what is read of a block, a member of `Hook`; see `analogue.models.sites`.
        randomize: `weights` to redraw every parameter but the embeddings when the model is loaded, `all` to redraw
            those too.
        randomize_seed: of the redrawing.
        device_map: `auto` to spread a named model over all devices, as `transformers` does; None for one device.
        gguf_file: name of a GGUF file in that directory or repository; None to read the files of transformers' format.

    Raises:
        NotFound: no such directory or hub id, or no tokenizer in it.
        Unavailable: no access to it, no network, or damaged files.
        InvalidArgument: a model that cannot be compared, an object without its `tokenizer`, or an unknown option.
    """
    check_option("hook", hook, Hook)
    check_option("randomize", randomize or Redrawn.all, Redrawn)
    check_seed("randomize_seed", randomize_seed)
    if isinstance(model, PreTrainedModel):
        source: str | PreTrainedModel = model
        name, config = model.config._name_or_path or type(model).__name__, model.config
        revision = device_map = gguf_file = None
        if tokenizer is None:
            problem = f"is needed where `model` is an object ({name}): AutoTokenizer.from_pretrained reads it"
            raise InvalidArgument("tokenizer", None, problem)
        if any(parameter.is_meta for parameter in model.parameters()):
            raise InvalidArgument("model", name, "has weights that are not in memory; load it without offloading")
    elif not isinstance(model, str | PathLike):
        raise InvalidArgument("model", type(model).__name__, "is neither a name nor a model of transformers")
    else:
        name = str(model)
        check_path("model", name)
        check_path("gguf_file", gguf_file or "")
        source = place = _source(name)
        with _loading_errors(name, place):
            _check_gguf(place, gguf_file)
            config = AutoConfig.from_pretrained(place, revision=revision, **_only_in(gguf_file), **OWN_CODE)
            tokenizer = _tokenizer(name, place, revision, gguf_file) if tokenizer is None else tokenizer
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        problem = "is not a tokenizer of transformers; AutoTokenizer.from_pretrained reads one"
        raise InvalidArgument("tokenizer", str(tokenizer), problem)
    if config.is_encoder_decoder:
        raise InvalidArgument("model", name, "has an encoder and a decoder; give a model of one stack of blocks")
    text_config = config.get_text_config()
    redrawn = f" redrawn={randomize} seed={randomize_seed}" if randomize else ""
    return LanguageModel(
        name=name,
        source=source,
        revision=revision,
        n_layers=text_config.num_hidden_layers,
        d_model=text_config.hidden_size,
        vocab_size=text_config.vocab_size,
        n_positions=_n_positions(text_config, source),
        fingerprint=_fingerprint(source, revision, gguf_file) + redrawn,
        tokenizer=tokenizer,
        hook=hook,
        randomize=randomize,
        randomize_seed=randomize_seed,
        device_map=device_map,
        gguf_file=gguf_file,
    )


def _only_in(gguf_file: str | None) -> dict[str, str]:
    """The argument of transformers that names a GGUF file, where there is one."""
    return {} if gguf_file is None else {"gguf_file": gguf_file}


def _check_gguf(source: str, gguf_file: str | None) -> None:
    if gguf_file is None:
        return
    if find_spec("gguf") is None:
        raise Unavailable(
            "gguf_file", gguf_file, "is read with the package gguf; install it (pip install 'analogue[gguf]')"
        )
    if Path(source).is_dir() and not (Path(source) / gguf_file).is_file():
        found = ", ".join(sorted(path.name for path in Path(source).glob("*.gguf"))) or "none"
        raise NotFound("gguf_file", gguf_file, f"is not in {source} (`model`); files of that format there: {found}")


def _source(name: str) -> str:
    """The directory, or the hub id, that `name` means."""
    source = locate(name, "model")
    if not source.startswith((".", "/", "~")) and source.count("/") <= 1:
        return source
    directory = Path(source).expanduser()
    if not directory.is_dir():
        raise NotFound("model", name, "is not a directory; give a hub id or a directory in transformers format")
    return str(directory)


def _tokenizer(name: str, source: str, revision: str | None, gguf_file: str | None) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, **_only_in(gguf_file), **OWN_CODE)
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):  # transformers makes one up without files
        raise NotFound("model", name, "holds no tokenizer; save it there too (tokenizer.save_pretrained)")
    return tokenizer


def _fingerprint(source: str | PreTrainedModel, revision: str | None, gguf_file: str | None) -> str:
    if isinstance(source, PreTrainedModel):
        return model_fingerprint(source)
    file = f" {gguf_file}" if gguf_file else ""
    if Path(source).is_dir():
        return directory_fingerprint(source) + file
    return f"{source}@{cached_commit(source, revision, gguf_file or 'config.json')}{file}"


def _n_positions(config: Any, source: str | PreTrainedModel) -> int | None:
    """The longest sequence; models such as RoBERTa count positions from behind the padding token's id."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is None or limit < 1:  # XLNet writes -1
        return None
    is_rotary = getattr(config, "rope_parameters", None) is not None
    if is_rotary or getattr(config, "pad_token_id", None) is None:
        return limit
    with torch.device("meta"):
        model = source if isinstance(source, PreTrainedModel) else AutoModel.from_config(config, **OWN_CODE)
    tables = (each for each in model.modules() if isinstance(each, nn.Embedding))
    unused = [each.padding_idx + 1 for each in tables if each.num_embeddings == limit and each.padding_idx is not None]
    return limit - max(unused, default=0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, and without the report on the head, which is in the files and not in the model."""
    verbosity, shows_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shows_bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _loading_errors(name: str, source: str, device_map: str | None = None) -> Iterator[None]:
    try:
        with nullcontext() if Path(source).is_dir() else hub_errors("model", name):
            yield
    except ArgumentError:
        raise
    except Exception as error:  # tokenizers raise bare ones, transformers whatever a damaged file leads to
        if "trust_remote_code" in str(error):
            problem = "needs code of its own, which is never run; give a model whose architecture transformers knows"
            raise InvalidArgument("model", name, problem) from error
        if "device_map" in str(error):
            raise InvalidArgument("device_map", device_map, first_line(error)) from error
        ggufs = sorted(file.name for file in Path(source).glob("*.gguf"))
        fix = "give a hub id, or a directory in transformers format"
        if ggufs:
            fix = f"name the file that lies there: `gguf_file`={ggufs[0]}"
        problem = f"cannot be loaded ({first_line(error)}); {fix}"
        raise Unavailable("model", name, problem) from error
