"""Do different language models learn the same features? Pair, score and test SAE feature spaces.

>>> import analogue
>>> a = analogue.Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_3")
>>> b = analogue.Side(model="embedded:stories-12", layer=6, sae="embedded:stories-12-saes/layer_6")
>>> comparison = analogue.compare(a, b, n_sequences=5, metrics=["rsa"], progress=False)
>>> comparison.scores[["metric", "n_pairs"]].values.tolist()
[['rsa', 298]]
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analogue.comparison.pipeline import compare, transfer
    from analogue.comparison.result import Comparison
    from analogue.errors import ArgumentError, InvalidArgument, NotFound, Unavailable
    from analogue.saes import load as load_sae
    from analogue.settings import Cache, Clustering, Concepts, Corpus, Filters, Matching, Null, Side, Transfer
    from analogue.training.pipeline import TrainedSAE, train
    from analogue.training.settings import Buffer, Checkpoints, Evaluation, Optimiser
    from analogue.universality.pipeline import universality
    from analogue.universality.result import Universality

__version__ = "0.2.0"

__all__ = [
    "ArgumentError",
    "Buffer",
    "Cache",
    "Checkpoints",
    "Clustering",
    "Comparison",
    "Concepts",
    "Corpus",
    "Evaluation",
    "Filters",
    "InvalidArgument",
    "Matching",
    "NotFound",
    "Null",
    "Optimiser",
    "Side",
    "TrainedSAE",
    "Transfer",
    "Unavailable",
    "Universality",
    "compare",
    "load_sae",
    "train",
    "transfer",
    "universality",
]

_SETTINGS = ("Cache", "Clustering", "Concepts", "Corpus", "Filters", "Matching", "Null", "Side", "Transfer")
_OF_TRAINING = ("Buffer", "Checkpoints", "Evaluation", "Optimiser")
_ERRORS = ("ArgumentError", "InvalidArgument", "NotFound", "Unavailable")
_PLACES = {
    "compare": ("analogue.comparison.pipeline", "compare"),
    "Comparison": ("analogue.comparison.result", "Comparison"),
    "load_sae": ("analogue.saes", "load"),
    "TrainedSAE": ("analogue.training.pipeline", "TrainedSAE"),
    "train": ("analogue.training.pipeline", "train"),
    "Universality": ("analogue.universality.result", "Universality"),
    **{name: ("analogue.settings", name) for name in _SETTINGS},
    **{name: ("analogue.training.settings", name) for name in _OF_TRAINING},
    **{name: ("analogue.errors", name) for name in _ERRORS},
}


_CALLED_ROOMS = {
    "transfer": ("analogue.comparison.pipeline", "transfer"),
    "universality": ("analogue.universality.pipeline", "universality"),
}
"""Rooms that are functions, too: `analogue.transfer(a, b)`, `analogue.universality(spaces)`."""


class _CalledRoom(ModuleType):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        module, attribute = _CALLED_ROOMS[self.__name__.rpartition(".")[2]]
        return getattr(import_module(module), attribute)(*arguments, **named)


class _Package(ModuleType):
    """Python makes a room that is imported an attribute of the package; some can be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED_ROOMS and isinstance(value, ModuleType):
            value.__class__ = _CalledRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # type checkers know the names above, and no others

    def __getattr__(name: str) -> Any:
        """Import what is asked for, and nothing before: torch and transformers take seconds."""
        if name in _CALLED_ROOMS:
            return import_module(f"analogue.{name}")
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _PLACES[name]
        return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
