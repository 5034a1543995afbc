"""Puts what a comparison found into its record."""

import platform
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from omegaconf import DictConfig, OmegaConf

from analogue.cli.checks import named_by_keys
from analogue.comparison.module import Gathered
from analogue.comparison.pairing import Pairing
from analogue.comparison.reading import Reading
from analogue.comparison.scoring import Scores
from analogue.comparison.side import Side
from analogue.concepts import ConceptResult, FeatureSpace
from analogue.corpus import TextUnits, TokenSequences
from analogue.matching import paired_cosines
from analogue.reporting import ComparisonResult, CorpusRecord, SideRecord, SpansRecord, label
from analogue.reporting.published import published_for
from analogue.saes import misfit_warnings
from analogue.significance import SimilarityResult

LIBRARIES = ("analogue", "lightning", "numpy", "sae-lens", "scipy", "torch", "transformers")


def assemble_result(
    cfg: DictConfig,
    sides: list[Side],
    reading: Reading,
    gathered: Gathered,
    pairing: Pairing,
    spaces: tuple[FeatureSpace, FeatureSpace],
    scores: Scores,
    concepts: list[ConceptResult],
    timings: dict[str, float],
) -> ComparisonResult:
    """The record of one comparison."""
    side_records = [_side_record(side, gathered) for side in sides]
    result = ComparisonResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        side_a=side_records[0],
        side_b=side_records[1],
        corpus=_corpus_record(cfg, reading),
        rule=cfg.matching.rule.value,
        direction=cfg.matching.direction.value,
        funnel=[{"filter": name, "n_pairs": int(n_pairs)} for name, n_pairs in pairing.funnel],
        correlation={
            "mean": _mean(pairing.pairs.correlation),
            "mean_kept": _mean(pairing.pairs.correlation[pairing.pairs.kept]),
        },
        decoder_cosine=_decoder_cosine(pairing, *spaces),
        similarity=[entry.to_dict() for entry in scores.similarity],
        concepts=[concept.to_dict() for concept in concepts],
        n_model_passes=gathered.n_model_passes,
        timings={stage: round(seconds, 3) for stage, seconds in (timings | {"total": sum(timings.values())}).items()},
        versions={"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
        config=OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),  # type: ignore[arg-type]
        warnings=[
            *(warning for side in sides for warning in side.warnings),
            *_bos_warnings(cfg, sides),
            *_warnings(cfg, reading.sequences["a"], side_records, scores.similarity),
        ],
    )
    return replace(result, published=[printed._asdict() for printed in published_for(result)])


def pairs_table(
    pairing: Pairing,
    a: FeatureSpace,
    b: FeatureSpace,
    units: TextUnits,
    excess_correlation: Float64[np.ndarray, " n_kept"] | None,
) -> pa.Table:
    """One row a pair, dropped ones too: what it is, why it was dropped, and the top tokens of both features.

    Pairs that are kept have the text about the top token of either feature, too.
    """
    pairs = pairing.pairs
    columns = {
        name: pa.array(getattr(pairs, name))
        for name in ("feature_a", "feature_b", "correlation", "n_active_a", "n_active_b")
    }
    strings = pa.list_(pa.string())
    columns["top_tokens_a"] = pa.array([list(a.top.strings[i]) for i in pairs.feature_a], strings)
    columns["top_tokens_b"] = pa.array([list(b.top.strings[i]) for i in pairs.feature_b], strings)
    columns["kept"] = pa.array(pairs.kept)
    columns["dropped_by"] = pa.array([str(name) for name in pairs.dropped_by], pa.string())
    for side, space, features in (("a", a, pairs.feature_a), ("b", b, pairs.feature_b)):
        rows = zip(space.top.positions[features, 0].tolist(), pairs.kept.tolist(), strict=True)
        shown = [units.context(position) if kept and position >= 0 else None for position, kept in rows]
        columns[f"context_{side}"] = pa.array(shown, pa.string())
    if excess_correlation is not None:
        excess = np.full(len(pairs), np.nan)
        excess[pairs.kept] = excess_correlation
        columns["excess_correlation"] = pa.array(excess, from_pandas=True)
    return pa.table(columns)


def nulls_table(similarity: list[SimilarityResult]) -> pa.Table:
    """One column a metric and null, under its label, one row a draw."""
    drawn = {label(each.to_dict()): each.draws for each in similarity if each.draws is not None}
    return pa.table({name: pa.array(draws, pa.float64()) for name, draws in drawn.items()})


def _corpus_record(cfg: DictConfig, reading: Reading) -> CorpusRecord:
    of_a, of_b = reading.sequences["a"], reading.sequences["b"]
    return CorpusRecord(
        path=cfg.data.path,
        n_sequences=of_a.n_sequences,
        seq_len=of_a.seq_len,
        n_tokens=of_a.n_tokens,
        tokens_sha256=of_a.fingerprint(),
        spans=SpansRecord(reading.aligned.n_spans, reading.aggregation, of_b.n_tokens, of_b.fingerprint())
        if reading.aligned is not None
        else None,
    )


def _side_record(side: Side, gathered: Gathered) -> SideRecord:
    stored = gathered.activations[side.label]
    return SideRecord(
        model=side.model.name,
        revision=side.model.revision,
        model_fingerprint=side.model.fingerprint,
        layer=side.layer,
        hook_point=side.model.hook,
        sae=side.sae_path,
        sae_architecture=side.sae.cfg.architecture(),
        d_model=side.model.d_model,
        d_sae=side.d_sae,
        n_live_features=int((stored.activations.n_active() > 0).sum()),
        l0=stored.activations.l0(),
        explained_variance=_finite(stored.facts["explained_variance"]),
        activation_key=gathered.keys[side.label],
        from_cache=side.label in gathered.from_cache,
        sae_fingerprint=side.sae_fingerprint,
    )


def _warnings(
    cfg: DictConfig, sequences: TokenSequences, sides: list[SideRecord], similarity: list[SimilarityResult]
) -> list[str]:
    told_by_scores = (f"{entry.metric}: {warning}" for entry in similarity for warning in entry.warnings)
    warnings = list(dict.fromkeys(told_by_scores))
    if sequences.n_sequences < cfg.data.n_sequences:
        asked = f"data.n_sequences={cfg.data.n_sequences}"
        warnings.append(f"{asked}, but {cfg.data.path} holds only {sequences.n_sequences} sequences; all were used")
    for letter, side in zip("ab", sides, strict=True):
        read = f"layer {side.layer} of {side.model}"
        misfits = misfit_warnings(side.explained_variance, read, not cfg.data.exclude_bos)
        warnings += [f"sae_{letter} {named_by_keys(misfit)}" for misfit in misfits]
    return warnings


def _bos_warnings(cfg: DictConfig, sides: list[Side]) -> list[str]:
    fix = "was trained without the first tokens of texts, which count here; data.exclude_bos=true leaves them out"
    trained_without = (side.label for side in sides if side.sae.cfg.metadata.get("exclude_bos"))
    return [] if cfg.data.exclude_bos else [f"sae_{label} {fix}" for label in trained_without]


def _decoder_cosine(pairing: Pairing, a: FeatureSpace, b: FeatureSpace) -> dict[str, float | None] | None:
    """The mean over all pairs and over those kept, where both decoders have one width."""
    if a.decoder.shape[1] != b.decoder.shape[1]:
        return None
    cosines = paired_cosines(a.decoder[pairing.pairs.feature_a], b.decoder[pairing.pairs.feature_b])
    return {"mean": _mean(cosines), "mean_kept": _mean(cosines[pairing.pairs.kept])}


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
