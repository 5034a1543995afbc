"""Puts what a comparison found into its record."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig, OmegaConf

from analogue.comparison.module import ComparisonModule
from analogue.comparison.pairing import Pairing
from analogue.comparison.side import Side
from analogue.corpus import TokenSequences
from analogue.features import TopTokens
from analogue.reporting import ComparisonResult, CorpusRecord, SideRecord
from analogue.significance import SimilarityResult

LIBRARIES = ("analogue", "lightning", "numpy", "sae-lens", "scipy", "torch", "transformers")
LOW_EXPLAINED_VARIANCE = 0.5


def assemble_result(
    cfg: DictConfig,
    sides: list[Side],
    sequences: TokenSequences,
    module: ComparisonModule,
    pairing: Pairing,
    similarity: list[SimilarityResult],
    timings: dict[str, float],
) -> ComparisonResult:
    """The record of one comparison."""
    side_records = [_side_record(side, module) for side in sides]
    return ComparisonResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        side_a=side_records[0],
        side_b=side_records[1],
        corpus=CorpusRecord(
            path=cfg.data.path,
            n_sequences=sequences.n_sequences,
            seq_len=sequences.seq_len,
            n_tokens=sequences.n_tokens,
            tokens_sha256=sequences.fingerprint(),
        ),
        direction=cfg.matching.direction.value,
        funnel=[{"filter": name, "n_pairs": int(n_pairs)} for name, n_pairs in pairing.funnel],
        correlation={
            "mean": _mean(pairing.pairs.correlation),
            "mean_kept": _mean(pairing.pairs.correlation[pairing.pairs.kept]),
        },
        similarity=[entry.to_dict() for entry in similarity],
        n_model_passes=module.n_model_passes,
        timings={stage: round(seconds, 3) for stage, seconds in (timings | {"total": sum(timings.values())}).items()},
        versions={"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
        config=OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),  # type: ignore[arg-type]
        warnings=[
            *(warning for side in sides for warning in side.warnings),
            *_warnings(cfg, sequences, side_records, similarity),
        ],
    )


def pairs_table(pairing: Pairing, tops: dict[str, TopTokens]) -> pa.Table:
    """One row a pair, dropped ones too: what it is, why it was dropped, and the top tokens of both features."""
    pairs = pairing.pairs
    columns = {
        name: pa.array(getattr(pairs, name))
        for name in ("feature_a", "feature_b", "correlation", "n_active_a", "n_active_b")
    }
    strings = pa.list_(pa.string())
    columns["top_tokens_a"] = pa.array([list(tops["a"].strings[i]) for i in pairs.feature_a], strings)
    columns["top_tokens_b"] = pa.array([list(tops["b"].strings[i]) for i in pairs.feature_b], strings)
    columns["kept"] = pa.array(pairs.kept)
    columns["dropped_by"] = pa.array([str(name) for name in pairs.dropped_by], pa.string())
    return pa.table(columns)


def nulls_table(draws: dict[str, list[float]]) -> pa.Table:
    """One column a metric with a null, one row a draw."""
    return pa.table({name: pa.array(scores, pa.float64()) for name, scores in draws.items() if scores})


def _side_record(side: Side, module: ComparisonModule) -> SideRecord:
    stored = module.evidence[side.label]
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
        activation_key=module.keys[side.label],
        from_cache=side.label not in module.computed,
    )


def _warnings(
    cfg: DictConfig, sequences: TokenSequences, sides: list[SideRecord], similarity: list[SimilarityResult]
) -> list[str]:
    warnings = [f"{entry.metric}: {warning}" for entry in similarity for warning in entry.warnings]
    if sequences.n_sequences < cfg.data.n_sequences:
        asked = f"data.n_sequences={cfg.data.n_sequences}"
        warnings.append(f"{asked}, but {cfg.data.path} holds only {sequences.n_sequences} sequences; all were used")
    for label, side in zip("ab", sides, strict=True):
        explained = side.explained_variance
        if explained is None or explained < LOW_EXPLAINED_VARIANCE:
            told = "no variance" if explained is None else f"{explained:.2f} of the variance"
            warnings.append(
                f"sae_{label} explains {told} of layer {side.layer} of {side.model}: wrong layer, hook or scaling?"
            )
    return warnings


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
