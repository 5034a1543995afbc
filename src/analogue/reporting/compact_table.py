"""A table that fits into a narrow terminal."""

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table


def compact_table(title: str, headings: Iterable[str], texts: Iterable[str]) -> Table:
    """A table that fits into a narrow terminal and cuts no number short; the columns `texts` are aligned left."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in texts else "right", no_wrap=True)
    return table
