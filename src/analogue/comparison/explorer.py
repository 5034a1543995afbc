"""The feature explorer of a comparison: its inputs are opened again, its activations read from the cache."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from torch.random import fork_rng

from analogue.comparison.activations import Collected, collect_activations, without_outliers
from analogue.comparison.corpus import TokenisedCorpus, tokenise_corpus
from analogue.comparison.explorer_page import ExploredSide, explorer_page
from analogue.comparison.pairing import describe_features
from analogue.comparison.sides import OpenSide, open_side
from analogue.comparison.unchanged import changed_sides, is_same_text
from analogue.concepts import FeatureSpace, TokenText, keyword_matches
from analogue.corpus import TextUnits, token_strings
from analogue.errors import ArgumentError, InvalidArgument, Unavailable
from analogue.matching import BestPartners, best_partners
from analogue.models import PromotedTokens, promoted_tokens
from analogue.options import Aggregation, Alignment
from analogue.reporting.explorer import check_umap, decoder_map, save_explorer
from analogue.results import ComparisonResult
from analogue.settings import Cache, Concepts, Corpus, Side
from analogue.trainer import trainer_on

N_PARTNERS = 5


@dataclass(frozen=True, eq=False)
class ComparisonInputs:
    """What a comparison was made from, as far as its explorer needs it; see the arguments of `analogue.compare`.

    Attributes:
        read: the text, and both sides' activations on it, of a comparison that has no cache to leave them in.
    """

    a: Side
    b: Side
    corpus: Corpus
    alignment: str = Alignment.tokens
    aggregation: str = Aggregation.max
    top_tokens: int = 5
    concepts: Concepts = field(default_factory=Concepts)
    cache: Cache | None = None
    device: str = "auto"
    precision: str = "32-true"
    read: tuple[TokenisedCorpus, Collected] | None = None


@fork_rng(devices=[])
def explore(
    record: ComparisonResult, pairs: pa.Table, inputs: ComparisonInputs, path: Path, progress: bool = True
) -> None:
    """Write the page in which both feature spaces can be looked at.

    Activations are those that the comparison has kept, or read from its cache; what is not there is computed in a model
    pass.

    Args:
        record: of the comparison.
        pairs: its pairs, as in `pairs.parquet`.
        inputs: what it was made from.
        path: of the page.
        progress: whether to say what is being done.

    Raises:
        Unavailable: the package umap-learn is missing, or the page cannot be written.
        InvalidArgument: the inputs are not those of the record.
        ArgumentError: they cannot be opened.
    """
    check_umap()
    sides = open_side(inputs.a, "a"), open_side(inputs.b, "b")
    text, collected = inputs.read or _activations(sides, inputs, progress)
    _check_same(record, sides, text)
    units = text.units(sides[0])
    with _status("making the explorer", progress):
        acts = {side.label: text.on_units(side.label, collected.activations[side.label].activations) for side in sides}
        spaces = [describe_features(side, acts[side.label], units, inputs.top_tokens) for side in sides]
        partners = best_partners(acts["a"], acts["b"], N_PARTNERS, direction="both")
        facts: dict[str, Any] = {
            "concepts": [*inputs.concepts.keywords],
            "neuronpedia": [_neuronpedia_id(side) for side in sides],
            "lens": [],
        }
        explored = {}
        for side, space, found in zip(sides, spaces, partners, strict=True):
            lens, reason = _lens(side, space)
            facts["lens"].append(reason)
            explored[side.label] = _explored(side, space, found, units, inputs.concepts, lens)
        page = explorer_page(explored["a"], explored["b"], units, pairs, facts)
        try:
            save_explorer(page, record, path)
        except OSError as error:
            raise Unavailable("path", path, f"cannot be written ({error.strerror or error})") from error


def _activations(
    sides: tuple[OpenSide, OpenSide], inputs: ComparisonInputs, progress: bool
) -> tuple[TokenisedCorpus, Collected]:
    corpus = inputs.corpus
    text = tokenise_corpus(corpus, *sides, inputs.alignment, inputs.aggregation)
    place = (trainer_on(inputs.device, progress, precision=inputs.precision), inputs.cache, corpus.batch_size)
    if corpus.exclude_outliers is not None:
        text, _ = without_outliers(sides, text, corpus.exclude_outliers, *place)
    return text, collect_activations(sides, text, *place)


def _check_same(record: ComparisonResult, sides: tuple[OpenSide, OpenSide], text: TokenisedCorpus) -> None:
    """Raise unless models, SAEs and tokens are those that the record was made from."""
    for side, what in changed_sides(record, sides):
        if what == "model":
            raise InvalidArgument(f"{side.label}.model", side.model.name, "is not the model that was compared any more")
        raise InvalidArgument(f"{side.label}.sae", side.sae_name, "is not the SAE that was compared any more")
    if not is_same_text(record, text):
        problem = "holds other text than when the features were compared; make the comparison again"
        raise InvalidArgument("corpus", record.corpus.path, problem)


def _explored(
    side: OpenSide,
    space: FeatureSpace,
    partners: BestPartners,
    units: TextUnits,
    concepts: Concepts,
    lens: PromotedTokens | None,
) -> ExploredSide:
    words = TokenText(units.ids, units.strings, units.lengths)
    belongs = [
        keyword_matches(space.top, words, keywords, concepts.fragments).any(axis=0)
        for keywords in concepts.keywords.values()
    ]
    live = space.acts.n_active() > 0
    strings = None
    if lens is not None:
        strings = token_strings(side.model.tokenizer, np.unique([lens.promoted, lens.suppressed]).tolist())
    return ExploredSide(
        space,
        partners,
        decoder_map(space.decoder[live]),
        np.array(belongs, dtype=bool).reshape(len(belongs), side.d_sae),
        lens,
        strings,
    )


def _lens(side: OpenSide, space: FeatureSpace) -> tuple[PromotedTokens | None, str | None]:
    """What live features promote, or why that cannot be known; the page shows the rest in either case."""
    try:
        directions = space.decoder[space.acts.n_active() > 0]
        return promoted_tokens(side.model, directions, dtype=side.settings.dtype), None
    except ArgumentError as error:
        return None, f"{error.value} {error.problem.replace('`', '')}"


def _neuronpedia_id(side: OpenSide) -> str | None:
    """Where Neuronpedia has the SAE's features, if its metadata say so."""
    metadata = getattr(side.sae.cfg, "metadata", None)
    found = metadata.get("neuronpedia_id") if metadata is not None else None
    return str(found) if found else None


def _status(message: str, progress: bool) -> AbstractContextManager[Any]:
    return Console().status(message) if progress else nullcontext()
