"""The table of formats: how each is recognised, and what reads it."""

import re
from collections.abc import Callable, Iterator
from glob import escape
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from analogue.saes import checkpoints, dictionary_learning, gemma_scope, llama_scope, saelens, sparsify
from analogue.saes.building import Contents
from analogue.saes.files import INDEX, Source


class Format(NamedTuple):
    """One way to publish an SAE.

    Attributes:
        name: what its authors call it.
        files: those that its folder holds; the last one may be in parts. Empty for a format of a file per SAE.
        read: what reads it.
        file: how such a file is called.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[Source], Contents]
    file: re.Pattern[str] | None = None

    def fits(self, source: Source) -> bool:
        """Whether the files are there."""
        if self.file:
            return source.path.is_file() and self.file.fullmatch(source.path.name) is not None
        return all(source.has(name) for name in self.files)


FORMATS = (
    Format("Gemma Scope", (gemma_scope.FIRST_WEIGHTS,), gemma_scope.read_first),
    Format("Gemma Scope 2", (gemma_scope.SECOND_WEIGHTS,), gemma_scope.read_second),
    Format("Llama Scope", (llama_scope.CONFIG, llama_scope.WEIGHTS), llama_scope.read),
    Format("SAELens", (saelens.CONFIG, saelens.WEIGHTS), saelens.read),
    Format("sparsify", (sparsify.CONFIG, sparsify.WEIGHTS), sparsify.read),
    Format("Llama Scope R1", (llama_scope.LATER_CONFIG, llama_scope.LATER_WEIGHTS), llama_scope.read_later),
    Format("dictionary_learning", (dictionary_learning.CONFIG, dictionary_learning.WEIGHTS), dictionary_learning.read),
    Format("Qwen-Scope", (), checkpoints.read_qwen_scope, checkpoints.QWEN_SCOPE),
    Format("OpenAI", (), checkpoints.read_openai, checkpoints.OPENAI),
)
FILES = sorted({name for each in FORMATS for name in each.files} | {saelens.SCALER, saelens.WHITENING})
MOST_NAMED = 4  # of the SAEs below a folder
OF_A_FILE = re.compile(r"\.(?:pt|pth|npz|safetensors)$")


def find_format(source: Source) -> Format | None:
    """The format of these files; None if they are of none that is known."""
    return next((each for each in FORMATS if each.fits(source)), None)


def patterns(folder: str) -> list[str]:
    """What to download of a repository for the SAE in a folder, or in a file."""
    if OF_A_FILE.search(folder):
        above = folder.rpartition("/")[0]
        return [folder, *patterns(above)] if folder.rpartition("/")[2] in FILES else [folder]
    stems = [name.removesuffix(".safetensors") for name in FILES if name.endswith(".safetensors")]
    names = [*FILES, *(f"{stem}-*.safetensors" for stem in stems), *(f"{stem}.safetensors{INDEX}" for stem in stems)]
    parents = [folder.rsplit("/", n)[0] for n in (1, 2) if folder.count("/") >= n]
    of_runs = [f"{parent}/{sparsify.OF_THE_RUN}" for parent in parents] + [sparsify.OF_THE_RUN]
    return [f"{folder}/{name}" if folder else name for name in names] + of_runs


def described(path: Path) -> str:
    """What lies there, and what would have been read, as a predicate of the path."""
    if below := list(islice(_saes_below(path), MOST_NAMED + 1)):
        more = ", ..." if len(below) > MOST_NAMED else ""
        return f"holds SAEs in its folders: {', '.join(below[:MOST_NAMED])}{more}; give one of them"
    if path.is_file():
        found = "is a file of no format that is read"
    else:
        names = sorted(each.name + "/" * each.is_dir() for each in path.iterdir())
        found = f"holds {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else "is empty"
    folders = "; ".join(f"{' with '.join(each.files)} ({each.name})" for each in FORMATS if each.files)
    return f"{found}, and no SAE: a folder with {folders}, or a file layerN.sae.pt (Qwen-Scope) or N.pt (OpenAI)"


def saes_named_alike(path: Path) -> list[str]:
    """The folders with an SAE beside it whose names differ from its own in the number at the end: `layer_3`."""
    alike = path.parent.glob(f"{escape(path.name.rstrip('0123456789'))}*")
    named = sorted((each for each in alike if _is_folder_of_sae(each)), key=_numbered)
    return [each.name for each in named[:MOST_NAMED]]


def _saes_below(path: Path) -> Iterator[str]:
    """The folders with an SAE in a folder and in those within it, in the order of their numbers."""
    for pattern in ("*", "*/*"):
        for each in sorted(path.glob(pattern), key=_numbered):
            if _is_folder_of_sae(each):
                yield each.relative_to(path).as_posix()


def _is_folder_of_sae(path: Path) -> bool:
    try:
        return path.is_dir() and find_format(Source(path, path.as_posix())) is not None
    except OSError:  # a folder that may not be looked into
        return False


def _numbered(path: Path) -> list[tuple[int, str]]:
    """So that layer_9 stands before layer_10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
