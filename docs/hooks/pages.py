"""What the site shows besides the files of `docs/`: pages of the repository, the tutorial, and the public functions."""

import json
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import analogue

sys.path.insert(0, str(Path(__file__).parent))
import diagram
import keys

REPOSITORY = Path(__file__).parents[2]
OF_THE_REPOSITORY = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "src/analogue/embedded/README.md": "embedded.md",
}
ROOMS = {
    "comparison": "The steps of a comparison, one by one.",
    "matching": "Features to pairs.",
    "similarity": "Pairs to scores.",
    "significance": "Scores to p-values.",
    "concepts": "Semantic subspaces.",
    "transfer": "Whether a feature of one model can be used in the other.",
    "universality": "Many spaces to clusters of features.",
    "features": "Sparse activations, their store, and top tokens.",
    "corpus": "Text to tokens.",
    "models": "Tokens to the residual stream.",
    "saes": "The residual stream to features.",
    "training": "Activations to SAEs.",
    "results": "Records.",
}
CALLED = {
    "transfer": "analogue.comparison.pipeline.transfer",
    "universality": "analogue.universality.pipeline.universality",
}
"""Names of the public door that are rooms and functions; the site shows the function."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of `docs/`."""
    for source, place in OF_THE_REPOSITORY.items():
        if (REPOSITORY / source).is_file():
            text = (REPOSITORY / source).read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=_with_links_of_the_site(text, source, place)))
    notebook = Path(config.docs_dir) / "tutorial.ipynb"
    if notebook.is_file():
        content = "\n".join(_cells(json.loads(notebook.read_text(encoding="utf-8"))))
        files.append(File.generated(config, "tutorial.md", content=content))
    files.append(File.generated(config, "api/analogue.md", content=_door()))
    for room, purpose in ROOMS.items():
        text = f"# analogue.{room}\n\n{purpose}\n\n::: analogue.{room}\n"
        files.append(File.generated(config, f"api/{room}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in tables of keys and options, and pictures; links out of `docs/` become links of the site."""
    place = page.file.src_uri
    markdown = diagram.with_pictures(markdown)
    if place == "configuration.md":
        return keys.with_tables(markdown)
    if place == "options.md":
        return markdown + keys.option_tables()
    is_a_file = (Path(config.docs_dir) / place).is_file()
    return _with_links_of_the_site(markdown, f"docs/{place}", place) if is_a_file else markdown


def _with_links_of_the_site(text: str, source: str, place: str) -> str:
    """Links of a file of the repository as they are on its page; what the site does not have is no link."""

    def moved(found: re.Match[str]) -> str:
        label, target = found["label"], found["target"]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        there = OF_THE_REPOSITORY.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if there is None:
            return label
        return f"[{label}]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{hash_}{anchor})"

    return re.sub(r"\[(?P<label>[^\]]*)\]\((?P<target>[^)\s]+)\)", moved, text)


def _door() -> str:
    names = [CALLED.get(name, f"analogue.{name}") for name in analogue.__all__]
    functions = [name for name in names if name.rpartition(".")[2][0].islower()]
    parts = "".join(f"\n::: {name}\n" for name in functions + [name for name in names if name not in functions])
    return f"# analogue\n\nEverything that `import analogue` offers, besides the rooms.\n{parts}"


def _cells(notebook: dict[str, Any]) -> Iterator[str]:
    """A notebook as Markdown: its text, its code, and what the code has put out."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield f"{source}\n"
            continue
        yield f"```python\n{source}\n```\n"
        for output in cell["outputs"]:
            if output.get("name") != "stderr":
                yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[str]:
    shown = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in shown:
        yield f"![What the cell above draws](data:image/png;base64,{''.join(shown['image/png']).strip()})\n"
    elif "text/html" in shown:
        html = re.sub(
            r"<style.*?</style>| border=\"1\" class=\"dataframe\"", "", "".join(shown["text/html"]), flags=re.S
        )
        yield "\n".join(line.strip() for line in html.splitlines() if line.strip()) + "\n"
    else:
        yield f"```text\n{''.join(shown['text/plain']).rstrip()}\n```\n"
