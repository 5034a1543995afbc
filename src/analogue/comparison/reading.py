"""What both sides read, and on which pieces of text their features are compared."""

from collections.abc import Iterable
from dataclasses import dataclass

from analogue.cli.checks import user_errors
from analogue.cli.schema import CompareConfig, DataConfig
from analogue.comparison.side import Side, same_tokenizer
from analogue.corpus import (
    AlignedSequences,
    TextUnits,
    TokenSequences,
    read_texts,
    spans_without_bos,
    token_units,
    tokenise,
    tokenise_aligned,
    without_bos,
)
from analogue.errors import UserError
from analogue.features import FeatureActivations, aggregate_spans
from analogue.options import Aggregation, Alignment


@dataclass(frozen=True)
class Reading:
    """The corpus in the tokens of both sides.

    Attributes:
        sequences: what each side reads, by its label; the same on both sides unless tokenizers differ.
        aligned: the common spans, where tokenizers differ; None where every token is one.
        aggregation: how activations on a span's tokens become its activation.
    """

    sequences: dict[str, TokenSequences]
    aligned: AlignedSequences | None
    aggregation: Aggregation

    def fingerprints(self) -> dict[str, str]:
        """Of the tokens that each side reads, by its label."""
        return {label: sequences.fingerprint() for label, sequences in self.sequences.items()}

    def streams(self) -> list[TokenSequences]:
        """What there is to read, A's first: one stream where both sides read the same tokens."""
        return [*{sequences.fingerprint(): sequences for sequences in self.sequences.values()}.values()]

    def on_units(self, label: str, acts: FeatureActivations) -> FeatureActivations:
        """Activations on a side's own tokens, carried to the units of text that both sides share."""
        if self.aligned is None:
            return acts
        span = self.aligned.span_a if label == "a" else self.aligned.span_b
        return aggregate_spans(acts, span, self.aligned.n_spans, self.aggregation)

    def units(self, side: Side) -> TextUnits:
        """Tokens, read with a side's tokenizer, or spans."""
        if self.aligned is None:
            return token_units(self.sequences[side.label], side.model.tokenizer)
        return self.aligned.units()


def read_corpus(config: CompareConfig, a: Side, b: Side) -> Reading:
    """Tokenise as much of the corpus as the configuration asks for.

    With one tokenizer every token is a span: `alignment=spans` changes nothing then.

    Raises:
        UserError: a model cannot read sequences so long; tokenizers differ and features are to be compared on tokens,
            or cannot be compared on spans.
    """
    aggregation = config.alignment.aggregation
    for side in (a, b):
        with user_errors(model=f"model_{side.label}.name"):
            side.model.check_seq_len(config.data.seq_len)
    if not same_tokenizer(a, b):
        if config.alignment.name is not Alignment.spans:
            problem = f"has another tokenizer than {a.model.name} (model_a.name); features are paired token by token"
            fix = "choose two models that share one, or alignment=spans"
            raise UserError("model_b.name", b.model.name, f"{problem}: {fix}")
        aligned = _aligned(config.data, a, b)
        _check_token_ids(a, aligned.a)
        _check_token_ids(b, aligned.b)
        return Reading({"a": aligned.a, "b": aligned.b}, aligned, aggregation)
    data = config.data
    with user_errors():
        sequences = tokenise(
            _texts(data), a.model.tokenizer, data.n_sequences, data.seq_len, data.packing, data.count_padding
        )
    for side in (a, b):
        _check_token_ids(side, sequences)
    if data.exclude_bos:
        sequences = without_bos(sequences, a.model.tokenizer)
    return Reading({"a": sequences, "b": sequences}, None, aggregation)


def _aligned(data: DataConfig, a: Side, b: Side) -> AlignedSequences:
    if data.count_padding:
        problem = "counts padding as tokens, but there is no text in it to compare different tokenizers on"
        raise UserError("data.count_padding", True, f"{problem}; set it to false")
    for side in (a, b):
        if not side.model.tokenizer.is_fast:
            problem = "has a tokenizer that does not tell where in the text its tokens stand"
            raise UserError(f"model_{side.label}.name", side.model.name, f"{problem}; alignment=spans needs a fast one")
    with user_errors():
        aligned = tokenise_aligned(
            _texts(data), a.model.tokenizer, b.model.tokenizer, data.n_sequences, data.seq_len, data.packing
        )
    if data.exclude_bos:
        aligned = spans_without_bos(aligned, a.model.tokenizer, b.model.tokenizer)
    if aligned.n_spans == 0:
        problem = f"has no piece of at most {data.seq_len} tokens (data.seq_len) at whose ends both tokenizers have"
        raise UserError("data.path", data.path, f"{problem} a boundary; give another text or longer sequences")
    return aligned


def _check_token_ids(side: Side, sequences: TokenSequences) -> None:
    with user_errors(model=f"model_{side.label}.name"):
        side.model.check_token_ids(int(sequences.ids.max()))


def _texts(data: DataConfig) -> Iterable[str]:
    return read_texts(
        data.path, column=data.column, subset=data.subset, split=data.split, shuffle_seed=data.shuffle_seed
    )
