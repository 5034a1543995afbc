"""What identifies the contents of a model and of a tokenizer, whatever they are called and wherever they lie."""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBE = "Hello  World!\n\n\tdef f(x):\n    return 3.14159 * x  # it's caf\u00e9, \u65e5\u672c\u8a9e \U0001f642\r\n "
"""Text on which normalisers, pre-tokenisers and the adding of special tokens differ."""

WEIGHTS = ("*.safetensors", "*.bin")
OF_THE_HUB = re.compile(r"[0-9a-f]{64}")


def directory_fingerprint(directory: str | Path) -> str:
    """SHA-256 over the names and contents of a directory's files.

    The contents are read once per process for each (path, size, modification time).
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in Path(directory).rglob("*") if path.is_file()):
        stat = file.stat()
        contents = _file_digest(str(file), stat.st_size, stat.st_mtime_ns)
        digest.update(f"{file.relative_to(directory).as_posix()}\0{contents}\0".encode())
    return digest.hexdigest()


def model_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 of a model's configuration and weights; its device and its name do not count.

    A model with forward hooks computes something that these do not determine: its fingerprint is like no other's.
    """
    config: dict[str, Any] = {"class": type(model).__name__} | model.config.to_dict()
    for name in ("_name_or_path", "transformers_version"):
        config.pop(name, None)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        digest.update(uuid.uuid4().bytes)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def same_weights(a: str | PreTrainedModel, b: str | PreTrainedModel, revisions: Sequence[str | None]) -> bool:
    """Whether two models have the same weights, byte by byte, whatever their configurations say.

    Args:
        a: a directory, a hub id whose weights are in the hub's cache, or a model.
        b: likewise.
        revisions: of a and b on the hub.
    """
    digests = [_weights_digests(source, revision) for source, revision in zip((a, b), revisions, strict=True)]
    return bool(digests[0]) and digests[0] == digests[1]


def _weights_digests(source: str | PreTrainedModel, revision: str | None) -> set[str]:
    """SHA-256 of each file of weights, or of each tensor of a model at hand."""
    if isinstance(source, PreTrainedModel):
        tensors = (each.detach().cpu().contiguous().reshape(-1) for each in source.state_dict().values())
        return {hashlib.sha256(each.view(torch.uint8).numpy()).hexdigest() for each in tensors}
    directory = Path(source)
    if not directory.is_dir():
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(source, "config.json", revision=revision or "main")
        directory = Path(config).parent if isinstance(config, str) else directory
    return {_weights_digest(file) for kind in WEIGHTS for file in directory.glob(kind)}


def _weights_digest(file: Path) -> str:
    """Of a file; the hub's cache links to large ones under that name."""
    linked = file.resolve()
    if file.is_symlink() and OF_THE_HUB.fullmatch(linked.name):
        return linked.name
    return _file_digest(str(file), file.stat().st_size, file.stat().st_mtime_ns)


def damaged_download(repository: str, revision: str | None, gguf_file: str | None = None) -> Path | None:
    """A file of weights in the hub's cache that does not hold what the hub says it does; None if there is none.

    A model of the hub is known by its commit, and so by the contents that its weights should have: each lies under the
    name of its SHA-256. Files of another kind of cache, and small ones, are not looked at.
    """
    folder = cached_file(repository, revision, gguf_file or "config.json").parent
    kinds = (gguf_file,) if gguf_file else WEIGHTS
    for file in next(filter(None, (sorted(folder.glob(kind)) for kind in kinds)), []):
        linked = file.resolve()
        is_named_so = file.is_symlink() and OF_THE_HUB.fullmatch(linked.name)
        stat = linked.stat()
        if is_named_so and _file_digest(str(linked), stat.st_size, stat.st_mtime_ns) != linked.name:
            return linked
    return None


def cached_commit(repository: str, revision: str | None, name: str = "config.json") -> str:
    """The commit of a model that has been downloaded: the name of the folder that one of its files lies in.

    Raises:
        OSError: that file is not in the hub's cache.
    """
    return cached_file(repository, revision, name).parent.name


def cached_file(repository: str, revision: str | None, name: str) -> Path:
    """A file of a model that has been downloaded.

    Raises:
        OSError: it is not in the hub's cache.
    """
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(repository, name, revision=revision or "main")
    if not isinstance(file, str):
        raise OSError(f"its {name} is not in the hub's cache")
    return Path(file)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of vocabulary, merges, and the ids of a probe text: equal for tokenizers that read the same tokens.

    Normaliser, pre-tokeniser and post-processor are judged by what they do to the probe: the files of related models
    write the same one down in several ways.
    """
    if tokenizer.is_fast:
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        contents = {"vocabulary": model["vocab"], "merges": model.get("merges")}
    else:
        contents = {"vocabulary": tokenizer.get_vocab()}
    contents["probe"] = list(tokenizer(PROBE)["input_ids"])
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=4096)
def _file_digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
