"""Compares two feature spaces: the steps of the paper, one after the other."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console
from torch.random import fork_rng

from analogue.comparison.activations import collect_activations, without_outliers
from analogue.comparison.corpus import check_counted, tokenise_corpus
from analogue.comparison.explorer import ComparisonInputs
from analogue.comparison.pairing import chosen_rule, describe_features, filter_pairs, pair_features, special_tokens_of
from analogue.comparison.residual import check_streams, score_residual
from analogue.comparison.result import Comparison, assemble
from analogue.comparison.scoring import (
    Scores,
    check_one_stream,
    chosen_metrics,
    evidence_for_pairs,
    score_activations,
    score_dictionaries,
    score_pairs,
    score_subspaces,
)
from analogue.comparison.sides import open_side
from analogue.comparison.transfer import carry_over, check_pairs, transferred
from analogue.comparison.transfer_text import check_can_be_mapped, fit_text
from analogue.concepts import ConceptResult, TokenText
from analogue.errors import (
    InvalidArgument,
    check_between,
    check_each_once,
    check_kind,
    check_memory,
    check_option,
    check_seed,
    check_strings,
    renamed_arguments,
)
from analogue.options import BY_WEIGHTS, Aggregation, Alignment, DecoderRows, Keep, MetricsOn, NullKind, TransferParts
from analogue.settings import METRICS, STORIES, Cache, Concepts, Corpus, Filters, Matching, Null, Side, Transfer
from analogue.significance import SimilarityResult
from analogue.similarity import Metric
from analogue.trainer import trainer_on

BYTES_PER_DRAW = 40  # a seed, a score, and what they are collected in
BYTES_PER_TOKEN = 20  # a position, a value, and a place in a list of strings


@fork_rng(devices=[])  # data loaders draw from the caller's generator, which stays as it is
def compare(
    a: Side,
    b: Side,
    *,
    corpus: Corpus | str | Path | Iterable[str] = STORIES,
    n_sequences: int | None = None,
    seq_len: int | None = None,
    exclude_bos: bool | None = None,
    exclude_special: bool | None = None,
    exclude_outliers: float | None = None,
    alignment: str = Alignment.tokens,
    aggregation: str = Aggregation.max,
    matching: Matching | str | None = None,
    filters: Filters | None = None,
    metrics: Sequence[str | Metric] = METRICS,
    metrics_on: Sequence[str] = (MetricsOn.decoder,),
    decoder_rows: str = DecoderRows.unit,
    consistency_threshold: float | None = None,
    null: Null | None = None,
    concepts: Concepts | Mapping[str, Sequence[str]] | None = None,
    transfer: Transfer | str = TransferParts.none,
    seed: int = 0,
    cache: Cache | None = None,
    device: str = "auto",
    progress: bool = True,
    trainer: L.Trainer | None = None,
    config: Mapping[str, Any] | None = None,
) -> Comparison | None:
    """Compare two SAE feature spaces: pair their features, score the pairs' geometry, test it against nulls.

    Nothing is written, printed or logged, except progress bars and, if a cache is given, activations.

    Args:
        a: space a.
        b: space b.
        corpus: text that both models read: a `Corpus`, a list of texts or another iterable, a path, or `OWNER/NAME` of
            a hub data set.
        n_sequences: of the corpus; None for the corpus's own, 100.
        seq_len: tokens per sequence, at most; None for the corpus's own, 300.
        exclude_bos: see `Corpus`; None for the corpus's own, as in the next two.
        exclude_special: likewise.
        exclude_outliers: likewise; such as 10 for SAEs that were trained so, as those of `analogue.train` are.
        alignment: `tokens`, which both models must share, or `spans` of text that two tokenizers have in common.
        aggregation: how activations on the tokens of a span become its activation: `max`, `mean` or `last`.
        matching: how features are paired, or the name of a rule; None for `Matching()`.
        filters: which pairs count; None for `Filters()`.
        metrics: names from `analogue.similarity.METRICS`, or `Metric` objects.
        metrics_on: what the metrics score: `decoder` rows of the paired features, `activations` of the paired features
            (tokens as rows, against permuted sequences), or `residual`, the residual streams themselves (likewise).
        decoder_rows: which decoder rows the metrics are given: scaled to `unit` norm, or `raw`, as the SAEs have them.
            The norm of a row means nothing: with an encoder row scaled by the inverse, the SAE computes the same
            function.
        consistency_threshold: for two SAEs of one residual stream, compare their dictionaries too (PW-MCC, and the
            shares of features whose cosine exceeds this, such as 0.7); None for none.
        null: what scores are compared with; None for `Null()`: 100 shuffles.
        concepts: semantic subspaces: keywords by the name of the concept; None for none.
        transfer: whether features can be used in the other model: `maps` between the streams, `interventions`, `all`,
            or a `Transfer` with settings.
        seed: of everything that is drawn; the same seed gives the same comparison.
        cache: the store of activations on disk; None to compute everything and store nothing. The comparison then keeps
            the activations in memory, for its explorer.
        device: `auto`, `cpu` or `cuda`: of the model passes, and of large pairings and nulls.
        progress: whether to show progress bars.
        trainer: a Lightning trainer to run the model passes on, in place of `device`.
        config: recorded as the settings of the comparison; None for a description of these arguments.

    Returns:
        The comparison; None on ranks of the trainer other than 0.

    Raises:
        ArgumentError: something that was given cannot work. Subclasses are ValueErrors, LookupErrors and OSErrors.

    Source:
        Lan et al. 2024, "Sparse Autoencoders Reveal Universal Feature Spaces Across Large Language Models",
        arXiv 2410.06981, section 3.

    Example:
        >>> side = Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}")
        >>> itself = compare(side, side, n_sequences=4, seq_len=64, null=Null(n=9), metrics=["rsa"], progress=False)
        >>> round(float(itself.scores.score[0]), 6)
        1.0
    """
    corpus = _as_corpus(
        corpus,
        n_sequences=n_sequences,
        seq_len=seq_len,
        exclude_bos=exclude_bos,
        exclude_special=exclude_special,
        exclude_outliers=exclude_outliers,
    )
    with renamed_arguments(rule="matching"):
        matching = Matching(matching) if isinstance(matching, str) else Matching() if matching is None else matching
    with renamed_arguments(parts="transfer"):
        transfer = Transfer(transfer) if isinstance(transfer, str) else transfer
    filters, null = Filters() if filters is None else filters, Null() if null is None else null
    with renamed_arguments(keywords="concepts"):
        concepts = concepts if isinstance(concepts, Concepts) else Concepts({} if concepts is None else concepts)
    for name, given in (("a", a), ("b", b)):
        check_kind(name, given, Side, '"embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}"')
    check_kind("matching", matching, Matching, '"mutual"')
    check_kind("filters", filters, Filters, 'non_concept="no_letter"')
    check_kind("null", null, Null, "n=100")
    check_kind("transfer", transfer, Transfer, '"maps"')
    check_kind("cache", cache, Cache | None, '"activations"')
    check_kind("trainer", trainer, L.Trainer | None)
    check_option("alignment", alignment, Alignment)
    check_option("aggregation", aggregation, Aggregation)
    check_option("decoder_rows", decoder_rows, DecoderRows)
    check_strings("metrics_on", metrics_on)
    if not metrics_on:
        raise InvalidArgument("metrics_on", [], f"names nothing to score; choose from {', '.join(MetricsOn)}")
    for each in metrics_on:
        check_option("metrics_on", each, MetricsOn)
    check_each_once("metrics_on", metrics_on)
    if consistency_threshold is not None:
        check_between("consistency_threshold", consistency_threshold, -1, 1)
    check_seed("seed", seed)
    chosen = chosen_metrics(metrics, seed)
    n_draws = len(chosen) * len(null.kinds) * BYTES_PER_DRAW
    check_memory("null", null.n, null.n * n_draws)
    check_memory("concepts", concepts.n, concepts.n * n_draws * len(concepts.keywords))
    config = config or described(
        a, b, corpus, alignment, aggregation, matching, filters, chosen, decoder_rows, null, concepts, transfer, seed
    ) | {"consistency_threshold": consistency_threshold, "metrics_on": [str(each) for each in metrics_on]}
    stopwatch = Stopwatch()

    side_a, side_b = open_side(a, "a"), open_side(b, "b")
    n_features = side_a.d_sae + side_b.d_sae
    check_memory("top_tokens", filters.top_tokens, filters.top_tokens * n_features * BYTES_PER_TOKEN)
    if transfer.parts != TransferParts.none:
        for side in (side_a, side_b):
            check_can_be_mapped(side)
    check_one_stream(side_a, side_b, consistency_threshold)
    text = tokenise_corpus(corpus, side_a, side_b, alignment, aggregation)
    check_streams(metrics_on, text)
    stopwatch.lap("open")

    trainer = trainer or trainer_on(device, progress)
    computed_on = trainer.strategy.root_device
    rule = chosen_rule(matching, side_a, side_b, computed_on)
    n_passes_before = 0
    if corpus.exclude_outliers is not None:
        place = (trainer, cache, corpus.batch_size)
        text, n_passes_before = without_outliers([side_a, side_b], text, corpus.exclude_outliers, *place)
        check_counted(text, corpus)
    to_fit_on = None
    if transfer.parts != TransferParts.none:
        to_fit_on = fit_text(transfer, corpus, text, side_a, side_b, trainer, cache)
    collected = collect_activations([side_a, side_b], text, trainer, cache, corpus.batch_size)
    collected = replace(collected, n_model_passes=collected.n_model_passes + n_passes_before)
    stopwatch.lap("activations")
    streams: list[SimilarityResult] = []
    if MetricsOn.residual in metrics_on:
        streams, n_passes = score_residual(
            [side_a, side_b], text, trainer, chosen, null, seed, cache, corpus.batch_size, progress
        )
        collected = replace(collected, n_model_passes=collected.n_model_passes + n_passes)
        stopwatch.lap("residual")
    carried = None
    if to_fit_on is not None:
        carried = carry_over(transfer, to_fit_on, text, (side_a, side_b), trainer, corpus.batch_size, seed)
        stopwatch.lap("maps")

    with Console().status("pairing features") if progress else nullcontext():
        acts_a, acts_b = (text.on_units(label, collected.activations[label].activations) for label in "ab")
        pairs = pair_features(acts_a, acts_b, rule, matching)  # each rank does a share
        if not trainer.is_global_zero:
            return None
        stopwatch.lap("pairing")
    units, evidence = text.units(side_a), None
    if NullKind.permuted_sequences in null.kinds or filters.maximum_q_value is not None:
        by_weights = matching.name in BY_WEIGHTS  # the pairs are the same whatever the activations
        alone = rule if by_weights else chosen_rule(matching, side_a, side_b, computed_on, on_ranks=False)
        evidence = evidence_for_pairs(pairs, acts_a, acts_b, units.lengths, alone, matching, null, seed, progress)
        stopwatch.lap("evidence")
    with Console().status("filtering pairs") if progress else nullcontext():
        space_a = describe_features(side_a, acts_a, units, filters.top_tokens, decoder_rows)
        space_b = describe_features(side_b, acts_b, units, filters.top_tokens, decoder_rows)
        with renamed_arguments(maximum_q_value="filters.maximum_q_value"):
            q_value = None if evidence is None else evidence.q_value
            pairing = filter_pairs(pairs, space_a, space_b, filters, special_tokens_of(side_a, side_b), q_value)
    stopwatch.lap("filters")

    found_abroad = None
    if carried is not None:
        check_pairs(transfer, pairing.pairs.n_kept)
        acts = {label: each.activations for label, each in collected.activations.items()}
        found_abroad = transferred(
            transfer,
            carried,
            text,
            (side_a, side_b),
            pairing.pairs,
            (space_a, space_b),
            acts,
            computed_on,
            seed,
            progress,
        )
        stopwatch.lap("transfer")

    scores = Scores([])
    if MetricsOn.decoder in metrics_on:
        scores = score_pairs(
            pairing.pairs, space_a, space_b, chosen, null, seed, matching.direction, computed_on, progress
        )
    if MetricsOn.activations in metrics_on:
        found = score_activations(pairing.pairs, acts_a, acts_b, units.lengths, chosen, null, seed, progress)
        scores = replace(scores, similarity=[*scores.similarity, *found])
    scores = replace(scores, similarity=[*scores.similarity, *streams])
    stopwatch.lap("scores")

    consistency = None
    if consistency_threshold is not None:
        consistency = score_dictionaries(side_a, side_b, consistency_threshold, seed)
        stopwatch.lap("consistency")

    subspaces: list[ConceptResult] = []
    concept_pairing: dict[str, Any] | None = None
    if concepts.keywords:
        keep = filters.one_to_one or Keep.best
        words = TokenText(units.ids, units.strings, units.lengths)
        subspaces = score_subspaces(concepts, space_a, space_b, words, chosen, seed, matching.direction, keep, progress)
        concept_pairing = {"rule": "max_correlation", "one_to_one": str(keep), "filters": []}
        concept_pairing |= {"fragments": concepts.fragments, "split_at_spaces": concepts.split_at_spaces}
        stopwatch.lap("concepts")

    comparison = assemble(
        (side_a, side_b),
        corpus,
        text,
        collected,
        matching,
        decoder_rows,
        pairing,
        (space_a, space_b),
        evidence,
        scores,
        consistency,
        subspaces,
        concept_pairing,
        found_abroad,
        stopwatch.laps,
        config,
    )
    device, precision = "cuda" if computed_on.type == "cuda" else "cpu", str(trainer.precision)
    spans = (alignment, aggregation)
    read = (text, collected) if cache is None else None  # a cache has them: no need for the memory
    inputs = ComparisonInputs(a, b, corpus, *spans, filters.top_tokens, concepts, cache, device, precision, read)
    return replace(comparison, inputs=inputs)


def transfer(
    a: Side,
    b: Side,
    parts: str = TransferParts.all,
    *,
    path: str | Path | Iterable[str] | None = None,
    fit_sequences: int = Transfer.fit_sequences,
    loss_sequences: int = Transfer.loss_sequences,
    n_pairs: int = Transfer.n_pairs,
    n_contexts: int = Transfer.n_contexts,
    doses: Sequence[float] = Transfer.doses,
    **settings: Any,
) -> Comparison | None:
    """Compare two feature spaces, and find out whether features of one model can be used in the other.

    Args:
        a: space a.
        b: space b.
        parts: `maps`, `interventions` or `all`; this and the next arguments are those of `analogue.Transfer`.
        path: text that maps are fitted on; None for the corpus beyond the sequences that are compared.
        fit_sequences: number of sequences of that text, at most.
        loss_sequences: number of sequences of the text compared, for the cross-entropy recovered.
        n_pairs: kept pairs whose effects are measured, at most.
        n_contexts: places at which each feature is added, at most.
        doses: how much of a feature is added, in multiples of its mean activation where it fires.
        settings: further arguments of `analogue.compare`.

    Returns:
        The comparison, with what was found in `record.transfer` and, a row per kept pair, in `transfer_table`; None on
        ranks other than 0.

    Raises:
        ArgumentError: as `compare`; also too little text to fit on, or text to fit on that is also measured on; for
            interventions, fewer than two pairs or a model without a head.

    Example:
        >>> side = Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}")
        >>> itself = transfer(side, side, "maps", fit_sequences=4, n_sequences=4, metrics=["rsa"], progress=False)
        >>> round(itself.record.transfer["maps"]["a_to_b"]["explained_variance"], 6)
        1.0
    """
    wanted = Transfer(parts, path, fit_sequences, loss_sequences, n_pairs, n_contexts, doses)
    return compare(a, b, transfer=wanted, **settings)


def described(
    a: Side,
    b: Side,
    corpus: Corpus,
    alignment: str,
    aggregation: str,
    matching: Matching,
    filters: Filters,
    metrics: Sequence[str | Metric],
    decoder_rows: str,
    null: Null,
    concepts: Concepts,
    transfer: Transfer,
    seed: int,
) -> dict[str, Any]:
    """The settings of a comparison as its record keeps them, under the names that the command line uses too."""
    models = ("revision", "dtype", "hook", "randomize", "randomize_seed", "device_map", "gguf_file")
    config: dict[str, Any] = {}
    for label, side in (("a", a), ("b", b)):
        config[f"model_{label}"] = {"name": _name(side.model)} | {name: getattr(side, name) for name in models}
        config[f"sae_{label}"] = {"path": _name(side.sae), "dtype": side.sae_dtype, "before_topk": side.before_topk}
        config[f"layer_{label}"] = side.layer
    return config | {
        "data": vars(corpus) | {"path": corpus.name if isinstance(corpus.path, str | Path) else f"<{corpus.name}>"},
        "alignment": {"name": alignment, "aggregation": aggregation},
        "matching": {"rule": matching.name, "direction": matching.direction} | dict(matching.settings),
        "filters": asdict(filters) | {"non_concept_tokens": [*filters.non_concept_tokens]},
        "metrics": [each if isinstance(each, str) else each.name for each in metrics],
        "decoder_rows": str(decoder_rows),
        "null": {"n": null.n, "kinds": [*null.kinds], "pooled": null.pooled},
        "concepts": {
            "n": concepts.n,
            "fragments": concepts.fragments,
            "split_at_spaces": concepts.split_at_spaces,
            "keywords": {name: [*words] for name, words in concepts.keywords.items()},
        },
        "transfer": _described_transfer(transfer),
        "seed": seed,
    }


def _described_transfer(transfer: Transfer) -> dict[str, Any]:
    settings = {"name" if name == "parts" else name: value for name, value in vars(transfer).items()}
    path = None if transfer.path is None else Corpus(transfer.path).name
    return settings | {"path": path, "doses": [*transfer.doses]}


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Name the stage that has just ended."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


def _as_corpus(corpus: Corpus | str | Path | Iterable[str], **given: Any) -> Corpus:
    with renamed_arguments(path="corpus"):
        corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    return replace(corpus, **{name: value for name, value in given.items() if value is not None})


def _name(given: Any) -> str:
    """A name that can be opened again; in angle brackets what cannot, because it was an object in memory."""
    return str(given) if isinstance(given, str | Path) else f"<{type(given).__name__}>"
