"""Pages that need nothing but a browser: styles, scripts and compressed data in one file."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from analogue.results.record import write_text


def write_data_page(
    name: str, styles: Sequence[str], data: Mapping[str, Any], path: Path, scripts: Sequence[str] | None = None
) -> None:
    """Write a page whose frame has a place for `data`, which must be JSON; see `write_page`.

    Compressed, a thousand jobs stay within the megabytes that a page may have; browsers unpack them themselves.
    """
    write_page(name, styles, path, scripts, data=packed(json.dumps(data, allow_nan=False).encode()))


def write_page(
    name: str, styles: Sequence[str], path: Path, scripts: Sequence[str] | None = None, **content: str
) -> None:
    """Fill in a page's frame: `style`, `script` and, where the frame has a place for it, `plotly`; and further content.

    Args:
        name: of the frame, `name.html`, which continues `head.html`.
        styles: names of style sheets.
        path: of the page.
        scripts: names of scripts, which are joined behind `common.js`; None for `name.js`.
        content: by the names in the frame.
    """
    folder = files("analogue.reporting") / "page"

    def joined(*names: str) -> str:
        return "".join((folder / each).read_text(encoding="utf-8") for each in names)

    frame = Template(joined("head.html", f"{name}.html"))
    if "plotly" in frame.get_identifiers():
        from plotly.offline import get_plotlyjs

        content["plotly"] = get_plotlyjs()
    style = joined(*(f"{each}.css" for each in styles))
    script = joined("common.js", *(f"{each}.js" for each in scripts or [name]))
    write_text(frame.substitute(style=style, script=script, **content), path)


def packed(content: bytes) -> str:
    """Base64 of gzip; `inflated` of `common.js` unpacks it."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
