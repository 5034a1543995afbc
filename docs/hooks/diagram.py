"""A flowchart of Mermaid's as a picture of its own, so that a page needs no script from elsewhere."""

import re
from html import escape
from itertools import pairwise

ROW, BOX, GAP = 104, 46, 14
NODE = re.compile(r"(\w+)(?:\[\"([^\"]*)\"\])?")


def with_pictures(markdown: str) -> str:
    """The page with an SVG in place of each flowchart."""
    return re.sub(r"^```mermaid\n(.*?)^```$", lambda found: picture(found[1]), markdown, flags=re.DOTALL | re.MULTILINE)


def picture(flowchart: str) -> str:
    """Boxes in rows, each below all that point to it, and arrows between them."""
    labels: dict[str, str] = {}
    arrows: list[tuple[str, str]] = []
    for line in flowchart.strip().splitlines()[1:]:
        groups = [NODE.findall(part) for part in re.split(r"\s*-->\s*", _without_labels(line, labels).strip())]
        ends = [[name for name, _ in group] for group in groups]
        arrows += [(one, other) for left, right in pairwise(ends) for one in left for other in right]
    rows = _rows(labels, arrows)
    places: dict[str, tuple[float, float, float]] = {}
    widths = {name: max(96.0, 6.6 * max(map(len, _lines(label))) + 24) for name, label in labels.items()}
    totals = [sum(widths[name] for name in row) + GAP * (len(row) + 1) for row in rows]
    for number, row in enumerate(rows):
        x = (max(totals) - totals[number]) / 2 + GAP
        for name in row:
            places[name] = (x, ROW * number + 8, widths[name])
            x += widths[name] + GAP
    drawn = [_arrow(places[one], places[other]) for one, other in arrows]
    drawn += [_box(labels[name], place) for name, place in places.items()]
    height = ROW * len(rows) - (ROW - BOX) + 20
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    head += '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker>'
    style = 'style="width:100%;color:var(--md-typeset-color)" font-family="sans-serif" font-size="13"'
    return (
        f'<svg viewBox="0 0 {max(totals):.0f} {height}" role="img" {style}><defs>{head}</defs>{"".join(drawn)}</svg>\n'
    )


def _without_labels(line: str, labels: dict[str, str]) -> str:
    """A line with its boxes' names alone; their labels go to the table."""
    for name, label in re.findall(r"(\w+)\[\"([^\"]*)\"\]", line):
        labels[name] = label
    return re.sub(r"\[\"[^\"]*\"\]", "", line)


def _rows(labels: dict[str, str], arrows: list[tuple[str, str]]) -> list[list[str]]:
    depth = dict.fromkeys(labels, 0)
    for _ in labels:
        for one, other in arrows:
            depth[other] = max(depth[other], depth[one] + 1)
    return [[name for name in labels if depth[name] == number] for number in range(max(depth.values()) + 1)]


def _lines(label: str) -> list[str]:
    return re.split(r" — | · ", label) if " — " in label else [label]


def _arrow(one: tuple[float, float, float], other: tuple[float, float, float]) -> str:
    x, y = one[0] + one[2] / 2, one[1] + BOX
    to_x, to_y = other[0] + other[2] / 2, other[1] - 2
    bend = (to_y - y) / 2
    path = f"M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".45" marker-end="url(#head)"/>'


def _box(label: str, place: tuple[float, float, float]) -> str:
    x, y, width = place
    lines = _lines(label)
    first = y + BOX / 2 + 5 - 8 * (len(lines) - 1)
    weights = ["bold", *["normal"] * (len(lines) - 1)] if len(lines) > 1 else ["normal"]
    text = "".join(
        f'<text x="{x + width / 2:.0f}" y="{first + 16 * number:.0f}" text-anchor="middle" fill="currentColor"'
        f' font-weight="{weight}">{escape(line)}</text>'
        for number, (line, weight) in enumerate(zip(lines, weights, strict=True))
    )
    frame = f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="6"'
    return f'{frame} fill="var(--md-default-bg-color)" stroke="currentColor"/>{text}'
