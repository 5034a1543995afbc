"""Many spaces, opened: models and SAEs, the text that all read, and the activations of each on the same units of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning as L

from analogue.comparison import Collected, OpenSide, TokenisedCorpus, collect_activations, open_side, tokenise_corpus
from analogue.comparison.activations import without_outliers
from analogue.comparison.corpus import check_counted
from analogue.comparison.sides import same_tokenizer
from analogue.corpus import TextUnits
from analogue.errors import InvalidArgument, renamed_arguments
from analogue.features import FeatureActivations
from analogue.models import LanguageModel
from analogue.settings import Cache, Corpus, Side
from analogue.universality.features import check_sequences

_OF_MODEL = ("model", "tokenizer", "revision", "randomize", "randomize_seed", "device_map", "gguf_file")


@dataclass(frozen=True, eq=False)
class ReadSpaces:
    """Spaces with what they read.

    Attributes:
        sides: opened, labelled `spaces.0`, `spaces.1`, ...
        text: in the tokens of every space.
        collected: activations on each space's own tokens.
        activations: (n_units, d_sae) of each space, on the units of text that all share.
        units: those units: tokens, or spans.
    """

    sides: list[OpenSide]
    text: TokenisedCorpus
    collected: Collected
    activations: list[FeatureActivations]
    units: TextUnits

    def keys(self) -> list[str]:
        """What the activations of each space depend on, by name."""
        units = "" if self.text.aligned is None else f" {self.text.aggregation} {sorted(self._read())}"
        return [self.collected.keys[side.label] + units for side in self.sides]

    def _read(self) -> set[str]:
        return {each.fingerprint() for each in self.text.sequences.values()}


def open_spaces(spaces: Sequence[Side]) -> list[OpenSide]:
    """Open all, each model once; errors name the space: `spaces.2.sae`."""
    opened: list[OpenSide] = []
    models: dict[tuple[Any, ...], LanguageModel] = {}
    for number, space in enumerate(spaces):
        values = (getattr(space, name) for name in _OF_MODEL)
        named = tuple(value if isinstance(value, str | int | None) else id(value) for value in values)
        opened.append(open_side(space, f"spaces.{number}", models.get(named)))
        models[named] = opened[-1].model
    return opened


def tokenise_for_all(corpus: Corpus, sides: Sequence[OpenSide], alignment: str, aggregation: str) -> TokenisedCorpus:
    """The corpus in the tokens of every space; spaces of two tokenizers share spans.

    Raises:
        ArgumentError: as `tokenise_corpus`; also for spaces of more than two tokenizers.
    """
    a = sides[0]
    others = [side for side in sides if not same_tokenizer(a, side)]
    b = others[0] if others else a
    for side in others:
        if not same_tokenizer(b, side):
            problem = f"has a third tokenizer beside those of {a.model.name} and {b.model.name}; spans are of two"
            raise InvalidArgument(f"{side.label}.model", side.model.name, f"{problem}: choose models of two tokenizers")
    for side in sides:
        with renamed_arguments(model=f"{side.label}.model"):
            side.model.check_seq_len(corpus.seq_len)
    with renamed_arguments(**{"a.model": f"{a.label}.model", "b.model": f"{b.label}.model"}):  # it knows two sides
        text = tokenise_corpus(corpus, replace(a, label="a"), replace(b, label="b"), alignment, aggregation)
    roles = {side.label: "a" if same_tokenizer(a, side) else "b" for side in sides}
    for side in sides:
        with renamed_arguments(model=f"{side.label}.model"):
            side.model.check_token_ids(int(text.sequences[roles[side.label]].ids.max(initial=0)))
    return text.read_by(roles)


def read_spaces(
    spaces: Sequence[Side], corpus: Corpus, alignment: str, aggregation: str, trainer: L.Trainer, cache: Cache | None
) -> ReadSpaces | None:
    """Open the spaces, and collect the activations of each once; None on ranks other than 0.

    Raises:
        ArgumentError: something that was given cannot work.
    """
    sides = open_spaces(spaces)
    text = tokenise_for_all(corpus, sides, alignment, aggregation)
    n_passes = 0
    if corpus.exclude_outliers is not None:
        place = (trainer, cache, corpus.batch_size)
        text, n_passes = without_outliers(sides, text, corpus.exclude_outliers, *place)
        check_counted(text, corpus)
    units = text.units(sides[0])
    check_sequences(units.lengths, len(sides), "n_sequences", corpus.n_sequences)
    collected = collect_activations(sides, text, trainer, cache, corpus.batch_size)
    collected = replace(collected, n_model_passes=collected.n_model_passes + n_passes)
    if not trainer.is_global_zero:
        return None
    activations = [text.on_units(side.label, collected.activations[side.label].activations) for side in sides]
    return ReadSpaces(sides, text, collected, activations, units)
