"""The corpus in the tokens of both sides, and the pieces of text on which features are compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from analogue.comparison.sides import OpenSide, same_tokenizer
from analogue.corpus import (
    AlignedSequences,
    TextUnits,
    TokenSequences,
    chat_texts,
    counting,
    from_sequence,
    read_texts,
    token_units,
    tokenise,
    tokenise_aligned,
    without_bos,
    without_special,
)
from analogue.errors import InvalidArgument, renamed_arguments
from analogue.features import FeatureActivations, aggregate_spans
from analogue.options import Aggregation, Alignment
from analogue.settings import Corpus


@dataclass(frozen=True)
class TokenisedCorpus:
    """The corpus in the tokens of both sides.

    Attributes:
        sequences: what each side reads, by its label; the same on both sides unless tokenizers differ.
        aligned: the common spans, where tokenizers differ; None where every token is one.
        aggregation: how activations on a span's tokens become its activation.
        excluded: how many tokens of each side do not count, by the reason and the side's label.
        roles: `a` or `b` by label: whose tokens a side reads. Several of many spaces may read the same.
    """

    sequences: dict[str, TokenSequences]
    aligned: AlignedSequences | None = None
    aggregation: str = Aggregation.max
    excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=lambda: {"a": "a", "b": "b"})

    def read_by(self, roles: Mapping[str, str]) -> "TokenisedCorpus":
        """The same for many spaces, of which each reads the tokens of `a` or of `b`, by their labels."""
        sequences = {label: self.sequences[role] for label, role in roles.items()}
        excluded = {
            reason: {label: lost[role] for label, role in roles.items()} for reason, lost in self.excluded.items()
        }
        return replace(self, sequences=sequences, excluded=excluded, roles=dict(roles))

    def without(self, reason: str, left: dict[str, TokenSequences]) -> "TokenisedCorpus":
        """The corpus with fewer tokens that count: a token, or a span, counts only if neither side leaves it out.

        Args:
            reason: the key in `excluded`.
            left: the tokens of each side, fewer of which count.
        """
        lost = {label: self.sequences[label].n_tokens - each.n_tokens for label, each in left.items()}
        # Where every token is a unit, all sides read the same.
        roles = self.roles if self.aligned is not None else dict.fromkeys(left, "a")
        of_role: dict[str, TokenSequences] = {}
        for label, role in roles.items():
            so_far = of_role.get(role, left[label])
            of_role[role] = replace(so_far, counted=so_far.counted & left[label].counted)
        aligned = self.aligned and counting(self.aligned, of_role["a"], of_role["b"])
        left = {label: of_role[role] for label, role in roles.items()}
        return replace(self, sequences=left, aligned=aligned, excluded=self.excluded | {reason: lost})

    def fingerprints(self) -> dict[str, str]:
        """Of the tokens that each side reads, by its label."""
        return {label: sequences.fingerprint() for label, sequences in self.sequences.items()}

    def streams(self) -> list[TokenSequences]:
        """The token streams, A's first; only one where both sides read the same tokens."""
        return [*{sequences.fingerprint(): sequences for sequences in self.sequences.values()}.values()]

    def on_units(self, label: str, acts: FeatureActivations) -> FeatureActivations:
        """Activations on a side's own tokens, carried to the units of text that both sides share."""
        if self.aligned is None:
            return acts
        span = self.aligned.span_a if self.roles[label] == "a" else self.aligned.span_b
        return aggregate_spans(acts, span, self.aligned.n_spans, self.aggregation)

    @property
    def n_units(self) -> int:
        """Tokens that count, or spans."""
        return self.sequences["a"].n_tokens if self.aligned is None else self.aligned.n_spans

    def last_tokens(self, label: str) -> Int64[np.ndarray, " n_units"]:
        """The last token of each unit, counted over a side's tokens that count: a token, or the last of a span."""
        if self.aligned is None:
            return np.arange(self.n_units)
        span = self.aligned.span_a if label == "a" else self.aligned.span_b
        last = np.zeros(self.n_units, dtype=np.int64)
        inside = np.flatnonzero(span >= 0)
        last[span[inside]] = inside  # of several entries for one span the last stays
        return last

    def places(self, label: str) -> Int64[np.ndarray, " n_units"]:
        """Where the last token of each unit stands: sequence * seq_len + position."""
        return np.flatnonzero(self.sequences[label].counted)[self.last_tokens(label)]

    def from_sequence(self, first: int) -> "TokenisedCorpus":
        """The corpus from sequence `first` on."""
        if self.aligned is not None:
            aligned = from_sequence(self.aligned, first)
            return replace(self, sequences={"a": aligned.a, "b": aligned.b}, aligned=aligned)
        left = {label: each[first:] for label, each in self.sequences.items()}
        return replace(self, sequences=left)

    def units(self, side: OpenSide) -> TextUnits:
        """Tokens, read with a side's tokenizer, or spans."""
        if self.aligned is None:
            return token_units(self.sequences[side.label], side.model.tokenizer)
        return self.aligned.units()


@renamed_arguments(path="corpus")
def tokenise_corpus(
    corpus: Corpus,
    a: OpenSide,
    b: OpenSide,
    alignment: str = Alignment.tokens,
    aggregation: str = Aggregation.max,
) -> TokenisedCorpus:
    """Tokenise as much of the corpus as is asked for.

    Args:
        corpus: the text, and how much of it.
        a: opened side.
        b: opened side.
        alignment: `tokens`, which both models must share, or `spans` of text that two tokenizers have in common. With
            one tokenizer every token is a span.
        aggregation: how activations on the tokens of a span become its activation: `max`, `mean` or `last`.

    Raises:
        ArgumentError: a model cannot read sequences so long; tokenizers differ and features are to be compared on
            tokens, or cannot be compared on spans; or the text cannot be read.
    """
    for side in (a, b):
        with renamed_arguments(model=f"{side.label}.model"):
            side.model.check_seq_len(corpus.seq_len)
    if same_tokenizer(a, b):
        texts = chat_texts(_texts(corpus), _with_template(a, b)) if corpus.chat else _texts(corpus)
        sequences = tokenise(
            texts,
            a.model.tokenizer,
            corpus.n_sequences,
            corpus.seq_len,
            corpus.packing,
            corpus.count_padding,
            add_special_tokens=not corpus.chat,
        )
        tokenised = TokenisedCorpus({"a": sequences, "b": sequences})
    elif alignment == Alignment.spans:
        aligned = _aligned(corpus, a, b)
        tokenised = TokenisedCorpus({"a": aligned.a, "b": aligned.b}, aligned, aggregation)
    else:
        problem = f"has another tokenizer than {a.model.name} (`a.model`); features are paired token by token"
        fix = "choose two models that share one, or `alignment`=spans"
        raise InvalidArgument("b.model", b.model.name, f"{problem}: {fix}")
    for side in (a, b):
        with renamed_arguments(model=f"{side.label}.model"):
            side.model.check_token_ids(int(tokenised.sequences[side.label].ids.max(initial=0)))
    of_each = {side.label: side.model.tokenizer for side in (a, b)}
    if corpus.exclude_bos:
        begins = of_each if tokenised.aligned else dict.fromkeys("ab", a.model.tokenizer)
        left = {label: without_bos(tokenised.sequences[label], each) for label, each in begins.items()}
        tokenised = tokenised.without("bos", left)
    if corpus.exclude_special:
        left = {label: without_special(tokenised.sequences[label], each) for label, each in of_each.items()}
        tokenised = tokenised.without("special", left)
    check_counted(tokenised, corpus)
    return tokenised


def check_counted(tokenised: TokenisedCorpus, corpus: Corpus) -> None:
    """Raise `InvalidArgument` unless there is something to compare features on."""
    if tokenised.aligned is not None and not tokenised.aligned.n_spans:
        problem = f"has no piece of at most {corpus.seq_len} tokens (`seq_len`) at whose ends both tokenizers have"
        raise InvalidArgument("corpus", corpus.name, f"{problem} a boundary; give another text or longer sequences")
    if not all(each.n_tokens for each in tokenised.sequences.values()):
        excluding = [name for name in ("exclude_bos", "exclude_special", "exclude_outliers") if getattr(corpus, name)]
        names = " and ".join(f"`{name}`" for name in excluding)
        problem = f"holds no token that counts{names and f' with {names}'}"
        raise InvalidArgument("corpus", corpus.name, f"{problem}; give longer texts")


def _with_template(a: OpenSide, b: OpenSide) -> Any:
    """The tokenizer whose chat template is used: A's, or B's where A is a model without one."""
    for side in (a, b):
        if side.model.tokenizer.chat_template:
            return side.model.tokenizer
    problem = f"needs a chat template, and neither the tokenizer of {a.model.name} (`a.model`) nor that of"
    raise InvalidArgument("chat", True, f"{problem} {b.model.name} (`b.model`) has one")


def _aligned(corpus: Corpus, a: OpenSide, b: OpenSide) -> AlignedSequences:
    if corpus.count_padding:
        problem = "counts padding as tokens, but there is no text in it to compare different tokenizers on"
        raise InvalidArgument("count_padding", True, f"{problem}; set it to false")
    if corpus.chat:
        problem = "writes chats by a tokenizer's template, which differ from model to model, and so does the text"
        raise InvalidArgument("chat", True, f"{problem}; choose two models that share a tokenizer")
    for side in (a, b):
        if not side.model.tokenizer.is_fast:
            problem = "has a tokenizer that does not record where in the text its tokens stand"
            fix = "`alignment`=spans needs a fast one"
            raise InvalidArgument(f"{side.label}.model", side.model.name, f"{problem}; {fix}")
    return tokenise_aligned(
        _texts(corpus), a.model.tokenizer, b.model.tokenizer, corpus.n_sequences, corpus.seq_len, corpus.packing
    )


def _texts(corpus: Corpus) -> Iterable[str]:
    return read_texts(corpus.path, corpus.column, corpus.subset, corpus.split, corpus.shuffle_seed, corpus.chat)
