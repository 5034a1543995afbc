"""Figures of many spaces: the spectrum, the matrices, the tree and the map, and the flow of features."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analogue.atomic import atomic_write
from analogue.results.universality import UniversalityResult

FORMATS = ("png", "pdf")
INK, FILL, OTHER, PALE = "#1c2330", "#31688e", "#b8b4d8", "#d5d8dd"
FLOW = {"stays": FILL, "splits": "#35b779", "merges": "#e0902f"}


def save_figures(result: UniversalityResult, directory: Path) -> list[Path]:
    """Draw `spectrum`, `matrices`, `tree` and, of spaces in order, `flow`, as PNG and PDF; returns the PNG files."""
    drawn = {"spectrum": _spectrum(result), "matrices": _matrices(result), "tree": _tree(result)}
    if result.changes:
        drawn["flow"] = _flow(result)
    for name, figure in drawn.items():
        for kind in FORMATS:
            metadata = {"CreationDate": None} if kind == "pdf" else {}
            with atomic_write(directory / f"{name}.{kind}") as temporary:
                figure.savefig(temporary, format=kind, dpi=150, metadata=metadata, bbox_inches="tight")
    return [directory / f"{name}.png" for name in drawn]


def branches(tree: Sequence[Mapping[str, Any]], n: int) -> dict[str, Any]:
    """The lines of a dendrogram: for each step the heights (x) and places (y) of its bracket, and the order of leaves.

    A step `{one, other, distance}` joins groups; group i < n is leaf i, group n + j what step j made.
    """
    inside: list[list[int]] = [[leaf] for leaf in range(n)]
    for step in tree:
        inside.append(inside[step["one"]] + inside[step["other"]])
    leaves = inside[-1]
    place = [float(leaves.index(leaf)) for leaf in range(n)]
    height = [0.0] * n
    brackets = []
    for step in tree:
        one, other, top = step["one"], step["other"], step["distance"]
        brackets.append([[height[one], top, top, height[other]], [place[one], place[one], place[other], place[other]]])
        place.append((place[one] + place[other]) / 2)
        height.append(top)
    return {"brackets": brackets, "leaves": leaves}


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _spectrum(result: UniversalityResult) -> Any:
    """Mean number of features of a space that are in 1, 2, ... spaces, with those of single spaces, and by chance."""
    counts = np.array(result.spectrum, dtype=float)
    n = len(counts)
    figure = _figure(max(4.0, 0.6 * n + 2), 3.2)
    axes = figure.add_subplot()
    at = np.arange(1, n + 1)
    axes.bar(at - 0.2, counts.mean(axis=0), 0.4, color=FILL, label="found (points: single spaces)")
    for row in counts:
        axes.plot(at - 0.2, row, ".", color=INK, markersize=3)
    if result.spectrum_by_chance:
        null = np.array(result.spectrum_by_chance["mean"]).mean(axis=0)
        axes.bar(at + 0.2, null, 0.4, color=OTHER, label="sequences permuted")
    axes.set_xticks(at)
    axes.set_xlabel("spaces that a feature is in")
    axes.set_ylabel("features of a space")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _matrices(result: UniversalityResult) -> Any:
    panels = [name for name in result.matrices if not name.endswith(("_null", "_p"))]
    n = len(result.names)
    side = max(2.6, 0.42 * n + 1.6)
    figure = _figure(side * len(panels), side)
    for number, name in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        values = np.array([[np.nan if v is None else v for v in row] for row in result.matrices[name]])
        image = axes.imshow(values, cmap="viridis", vmin=min(0.0, np.nanmin(values)), vmax=np.nanmax(values))
        axes.set_facecolor("0.85")
        axes.set_title(name, loc="left", fontsize=9)
        axes.set_xticks(range(n), result.names, rotation=90, fontsize=7)
        axes.set_yticks(range(n), result.names if number == 0 else [""] * n, fontsize=7)
        for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
            light = image.norm(values[row, column]) < 0.6
            shown = f"{values[row, column]:.2f}"
            axes.text(column, row, shown, ha="center", va="center", fontsize=6, color="w" if light else "k")
    figure.tight_layout()
    return figure


def _tree(result: UniversalityResult) -> Any:
    """The dendrogram, and the map beside it."""
    n = len(result.names)
    figure = _figure(9.0, max(3.0, 0.3 * n + 1.2))
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    lines = branches(result.tree, n)
    for x, y in lines["brackets"]:
        left.plot(x, y, color=FILL)
    left.set_yticks(range(n), [result.names[leaf] for leaf in lines["leaves"]], fontsize=8)
    left.set_xlabel("1 - share of features matched")
    left.set_xlim(left=0)
    places = np.array(result.places)
    right.plot(*places.T, "o", color=FILL)
    for name, place in zip(result.names, places, strict=True):
        right.annotate(name, place, xytext=(4, 3), textcoords="offset points", fontsize=8)
    right.set_aspect("equal", "datalim")
    right.set_title(f"map: {result.shown:.0%} of the squared distances", loc="left", fontsize=9)
    figure.tight_layout()
    return figure


def _flow(result: UniversalityResult) -> Any:
    """Bars of live features, and between two of them ribbons of what stays, splits and merges."""
    live = [sum(row) for row in result.spectrum]
    figure = _figure(max(5.0, 1.0 * len(live) + 1), 4.0)
    axes = figure.add_subplot()
    axes.bar(range(len(live)), live, 0.16, color=INK)
    curve = np.linspace(0, 1, 40)
    ease = 3 * curve**2 - 2 * curve**3
    for step, change in enumerate(result.changes):
        bottom, top = 0.0, 0.0
        widths = {"stays": (change["stays"],) * 2}
        widths |= {"splits": (len(change["splits"]), 2 * len(change["splits"]))}
        widths |= {"merges": (2 * len(change["merges"]), len(change["merges"]))}
        for name, (before, after) in widths.items():
            low = bottom + (top - bottom) * ease
            high = bottom + before + (top + after - bottom - before) * ease
            axes.fill_between(step + 0.08 + 0.84 * curve, low, high, color=FLOW[name], alpha=0.6, linewidth=0)
            bottom, top = bottom + before, top + after
    for name, colour in FLOW.items():
        axes.fill_between([], [], color=colour, alpha=0.6, label=name)
    axes.set_xticks(range(len(live)), result.names, rotation=30 if len(live) > 6 else 0, fontsize=8)
    axes.set_ylabel("live features")
    axes.set_title("what is left of a bar without a ribbon disappears, or has appeared", loc="left", fontsize=8)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    axes.set_ylim(top=1.12 * max(live))
    return figure
