"""A table that is printed row by row, as the measurements come."""


class Rows:
    """Rows under a heading, which is printed at once.

    Args:
        names: of the columns; each is at least as wide as its name and `width`.
        width: of a column; longer cells widen their row alone.
    """

    def __init__(self, *names: str, width: int = 10) -> None:
        self._widths = [max(width, len(name)) for name in names]
        self.add(*names)

    def add(self, *cells: str) -> None:
        """Print one row, cells to the right."""
        print("  ".join(cell.rjust(width) for cell, width in zip(cells, self._widths, strict=True)), flush=True)
