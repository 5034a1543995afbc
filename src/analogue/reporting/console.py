"""The terminal that tables are printed on."""

from typing import Any

from rich.console import Console

NARROWEST = 40  # columns; no table can be laid out in much fewer


def plain_console(**settings: Any) -> Console:
    """A console that takes text as it is, since names may hold [brackets], and is never too narrow for a table."""
    console = Console(markup=False, **settings)
    return console if console.width >= NARROWEST else Console(markup=False, **settings | {"width": NARROWEST})
