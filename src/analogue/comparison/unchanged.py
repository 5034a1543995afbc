"""Whether a record of an earlier comparison still tells of the files that its configuration names."""

from typing import Any

from analogue.comparison.corpus import TokenisedCorpus, tokenise_corpus
from analogue.comparison.sides import OpenSide, open_side
from analogue.results import ComparisonResult
from analogue.settings import Corpus, Side


def changed_since(
    record: ComparisonResult, a: Side, b: Side, corpus: Corpus, alignment: str, aggregation: str, **others: Any
) -> list[str]:
    """The arguments whose files have changed since the record was made.

    No model pass is made. The text is not compared where outliers are left out of it, which takes one.

    Args:
        record: of an earlier comparison of the same settings.
        a: space a.
        b: space b.
        corpus: what they read.
        alignment: see `compare`.
        aggregation: see `compare`.
        others: further arguments of `compare`, which name no files.

    Raises:
        ArgumentError: one of them cannot be opened.
    """
    sides = open_side(a, "a"), open_side(b, "b")
    changed = [f"{side.label}.{what}" for side, what in changed_sides(record, sides)]
    if changed or corpus.exclude_outliers is not None:
        return changed
    text = tokenise_corpus(corpus, *sides, alignment, aggregation)
    return [] if is_same_text(record, text) else ["corpus"]


def is_same_text(record: ComparisonResult, text: TokenisedCorpus) -> bool:
    """Whether both sides read the tokens that the record was made from, and the same ones count."""
    spans = record.corpus.spans
    was_read = {"a": record.corpus.tokens_sha256, "b": spans.tokens_sha256_b if spans else record.corpus.tokens_sha256}
    return text.fingerprints() == was_read


def changed_sides(record: ComparisonResult, sides: tuple[OpenSide, OpenSide]) -> list[tuple[OpenSide, str]]:
    """The sides whose `model` or `sae` is not the one that the record was made from."""
    changed = []
    for side, was in zip(sides, (record.side_a, record.side_b), strict=True):
        if side.model.fingerprint != was.model_fingerprint:
            changed.append((side, "model"))
        if side.sae_fingerprint != was.sae_fingerprint:
            changed.append((side, "sae"))
    return changed
