"""The layers that one pass of a model over the corpus computes, for its own job and for later jobs of a sweep."""

from collections.abc import Iterable

ALL = "all"


def layers_of_pass(layer: int, grid: Iterable[int], layers_per_pass: int | str) -> list[int]:
    """The layers that are computed together with `layer`, itself included, in ascending order.

    The grid's layers are cut into runs of `layers_per_pass`, so that the same layers share a pass whichever job comes
    first.
    """
    ordered = sorted({layer, *grid})
    if layers_per_pass == ALL:
        return ordered
    start = ordered.index(layer) // int(layers_per_pass) * int(layers_per_pass)
    return ordered[start : start + int(layers_per_pass)]
