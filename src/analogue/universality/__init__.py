"""Many spaces: which features are in all of them, which in some, which in one.

`analogue.universality(spaces)` is a function too, of this name: `help("analogue.universality.pipeline.universality")`.

Mathematics, which knows arrays only:

links.py         two spaces: best partners, tested against permuted sequences
clusters.py      links -> clusters with at most one feature of a space
stability.py     the same clusters on resampled sequences
spectrum.py      in how many spaces features are, and would be by chance; exclusive features
changes.py       from a space to the next: splits and merges
among_spaces.py  a tree and a map of spaces
features.py      `cluster_features`: from activations to a table of clusters

The study that conducts them:

spaces.py        models and SAEs -> activations of all on the same text
pair_store.py    the partners of every two spaces, kept on disk
scores.py        every two spaces: decoder rows and dictionaries
result.py        what was found
pipeline.py      `universality`: these steps one after the other
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analogue.universality.features import cluster_features
    from analogue.universality.result import Universality

__all__ = ["Universality", "cluster_features"]

_PLACES = {"Universality": "result", "cluster_features": "features"}


def __getattr__(name: str) -> Any:
    """Import what is asked for: clusters of activations need neither Lightning nor transformers."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"analogue.universality.{_PLACES[name]}"), name)
