"""Two feature spaces side by side, as one page that needs nothing but a browser."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from analogue.errors import Unavailable
from analogue.reporting.pages import packed, write_page
from analogue.reporting.tables import side_texts
from analogue.results import ComparisonResult, label
from analogue.results.grids import pair, protocol

SCRIPTS = ("spaces", "about", "list", "feature", "pair", "point_map", "maps", "page")
N_NEIGHBOURS = 15
_ALIGNED = 8  # bytes, so that a browser can read float64 where they are


@dataclass(frozen=True, eq=False)
class ExplorerPage:
    """What the page holds.

    Attributes:
        facts: plain values that stand for the whole page: strings of tokens, names of filters and concepts.
        index: arrays that the page needs at once: pairs, the features of each side and where they lie, the text.
        details: for each side (`a`, `b`) what a feature shows when it is chosen, some features at a time.
    """

    facts: Mapping[str, Any]
    index: Mapping[str, np.ndarray]
    details: Mapping[str, Sequence[Mapping[str, np.ndarray]]] = field(default_factory=dict)


def save_explorer(page: ExplorerPage, record: ComparisonResult, path: Path) -> None:
    """Write the page; the same page and record give the same bytes."""
    facts = {**page.facts, **_header(record)}
    details = [
        f'<script id="{side}-{number}" type="application/octet-stream">{packed_arrays(chunk)}</script>'
        for side, chunks in page.details.items()
        for number, chunk in enumerate(chunks)
    ]
    scripts = [f"explorer/{each}" for each in SCRIPTS]
    index = packed_arrays(page.index, facts)
    write_page("explorer", ["explorer"], path, scripts, index=index, details="\n".join(details))


def packed_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any] | None = None) -> str:
    """Arrays and plain values as one text: base64 of gzip of a JSON header and the arrays' bytes behind it.

    The header begins after its length (uint64); it names each array's `dtype`, `shape` and first byte, counted from
    the end of the header. Everything is little-endian.
    """
    places, body = {}, bytearray()
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        body += bytes(-len(body) % _ALIGNED)
        places[name] = [array.dtype.name, [*array.shape], len(body)]
        body += array.astype(array.dtype.newbyteorder("<")).tobytes()
    header = json.dumps({"facts": facts or {}, "arrays": places}, allow_nan=False).encode()
    header += b" " * (-len(header) % _ALIGNED)
    content = len(header).to_bytes(8, "little") + header + bytes(body)
    return packed(content)


def check_umap() -> None:
    """Raise `Unavailable` where the package that draws the panels is missing."""
    if find_spec("umap") is None:
        problem = "needs the package umap-learn (pip install 'analogue[explore]')"
        raise Unavailable("explore", "true", problem)


def decoder_map(rows: Float[np.ndarray, "n d_model"], seed: int = 0) -> Float32[np.ndarray, "n 2"]:
    """Decoder rows on a plane: UMAP with cosine distances, from a fixed seed.

    Too few rows for UMAP stand on a circle.

    Source:
        McInnes, Healy and Melville 2018, "UMAP: Uniform Manifold Approximation and Projection", arXiv 1802.03426.
    """
    if len(rows) <= 2 * N_NEIGHBOURS:
        angles = np.arange(len(rows)) * 2 * np.pi / max(len(rows), 1)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        placed = UMAP(n_neighbors=N_NEIGHBOURS, metric="cosine", random_state=seed, n_jobs=1).fit_transform(rows)
    return np.asarray(placed, dtype=np.float32)


def _header(record: ComparisonResult) -> dict[str, Any]:
    shown = ("score", "null_mean", "null_sd", "z", "p_value", "n_pairs", "reason")
    return {
        "title": f"{pair(record)}, layers {record.side_a.layer} and {record.side_b.layer}",
        "protocol": protocol(record),
        "sides": [side_texts(record.side_a), side_texts(record.side_b)],
        "funnel": [[step["filter"], step["n_pairs"]] for step in record.funnel],
        "scores": [[label(entry), *(entry.get(name) for name in shown)] for entry in record.similarity],
        "warnings": record.warnings,
    }
