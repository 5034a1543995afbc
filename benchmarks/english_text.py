"""Paragraphs of HTML documentation as training text: `python -m benchmarks.english_text FOLDER ... --output DIR`.

Writes `train.jsonl` and `held_out.jsonl`, a document per file of HTML. The numbers of docs/training.md were measured on
the English documentation in Debian 12's packages debian-handbook, aptitude-doc-en, installation-guide-amd64,
developers-reference, maint-guide, python3.11-doc and debian-policy.
"""

import argparse
import json
import random
from html.parser import HTMLParser
from pathlib import Path

SKIPPED = {"script", "style", "pre", "nav", "table"}
PARAGRAPHS = {"p", "li", "dd"}
WORDS, CHARACTERS, LONGEST = 12, 1500, 12_000  # of a paragraph and of a document, at least; of a document, at most


class Paragraphs(HTMLParser):
    """Collects paragraphs of running text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = 0
        self._open: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag in SKIPPED
        if tag in PARAGRAPHS and not self._depth:
            self._close()
            self._open = []

    def handle_endtag(self, tag: str) -> None:
        self._depth = max(0, self._depth - (tag in SKIPPED))
        if tag in PARAGRAPHS:
            self._close()

    def handle_data(self, data: str) -> None:
        if self._open is not None and not self._depth:
            self._open.append(data)

    def _close(self) -> None:
        words = "".join(self._open or []).split()
        if len(words) > WORDS:
            self.found.append(" ".join(words))
        self._open = None


def documents(folders: list[Path]) -> list[str]:
    """One per file, without repetitions."""
    found: dict[str, str] = {}
    for file in sorted(file for folder in folders for file in folder.rglob("*.html") if file.is_file()):
        paragraphs = Paragraphs()
        paragraphs.feed(file.read_text(encoding="utf-8", errors="replace"))
        text = "\n\n".join(paragraphs.found)
        if len(text) > CHARACTERS:
            found.setdefault(text[:300], text[:LONGEST])
    return [*found.values()]


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=Path())
    arguments = parser.parse_args()
    texts = documents(arguments.folders)
    random.Random(0).shuffle(texts)
    n_held_out = len(texts) // 8
    for name, part in (("held_out", texts[:n_held_out]), ("train", texts[n_held_out:])):
        path = arguments.output / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in part), encoding="utf-8")
        print(f"{path}: {len(part)} documents, {sum(map(len, part)):,} characters")


if __name__ == "__main__":
    main()
