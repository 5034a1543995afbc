"""What a comparison found: its record, its pairs and the draws of its nulls, to look at and to save."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from analogue import __version__
from analogue.comparison.activations import Collected
from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.pairing import Pairing
from analogue.comparison.scoring import Scores
from analogue.comparison.sides import OpenSide
from analogue.comparison.transfer import Transferred
from analogue.comparison.warnings import comparison_warnings
from analogue.concepts import ConceptResult, FeatureSpace
from analogue.corpus import TextUnits
from analogue.errors import NotFound, Unavailable, first_line
from analogue.matching import paired_cosines
from analogue.options import NullKind
from analogue.results import ComparisonResult, CorpusRecord, SideRecord, SpansRecord, label, write_result
from analogue.results.job_tables import read_nulls, read_pairs
from analogue.results.published import published_for
from analogue.results.record import NULLS_FILE, PAIRS_FILE, RESULT_FILE, TRANSFER_FILE, read_record
from analogue.settings import Corpus, Matching
from analogue.significance import PairEvidence
from analogue.similarity import DictionaryConsistency

if TYPE_CHECKING:
    import pandas
    from rich.console import Console

    from analogue.comparison.explorer import ComparisonInputs

_STYLE = "overflow-x: auto; line-height: 1.2; font-family: Menlo, 'DejaVu Sans Mono', monospace"
_ROWS = 1024  # decoder rows that are taken to float64 together
Q = 0.05  # the false discovery rate at which the record counts
LIBRARIES = ("lightning", "numpy", "sae-lens", "scipy", "torch", "transformers")


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of comparing two feature spaces.

    Attributes:
        record: everything but the pairs; `save` writes it as `result.json`.
        pairs_table: one row per pair, dropped ones too.
        nulls_table: one column per metric and null, one row per draw.
        transfer_table: one row per kept pair, what its features do in the other model; None unless asked for.
        inputs: what was compared, for `explore`; None for a comparison that was read from files.
    """

    record: ComparisonResult
    pairs_table: pa.Table
    nulls_table: pa.Table
    transfer_table: pa.Table | None = None
    inputs: "ComparisonInputs | None" = None

    @property
    def scores(self) -> "pandas.DataFrame":
        """A row per metric and null; the columns are the fields of `analogue.significance.SimilarityResult`."""
        return _frame(self.record.similarity)

    @property
    def pairs(self) -> "pandas.DataFrame":
        """A row per pair, dropped ones too.

        Columns: the features, their correlation and firing counts, why a pair was dropped (`dropped_by`, empty for one
        that is kept), the top tokens and a context of both features, and with the null `permuted_sequences` the pair's
        p-value and q-value.
        """
        return self.pairs_table.to_pandas()

    @property
    def funnel(self) -> "pandas.DataFrame":
        """A row per filter: how many pairs it has left."""
        return _frame(self.record.funnel)

    @property
    def transfer(self) -> "pandas.DataFrame":
        """A row per kept pair: what its features do in the other model (docs/transfer.md); empty unless asked for."""
        return _frame([]) if self.transfer_table is None else self.transfer_table.to_pandas()

    @property
    def concepts(self) -> "pandas.DataFrame":
        """A row per semantic subspace, metric and test."""
        counts = ("name", "n_features_a", "n_features_b", "n_pairs")
        return _frame(
            [
                {"concept" if name == "name" else name: concept[name] for name in counts} | entry
                for concept in self.record.concepts
                for entry in concept["similarity"]
            ]
        )

    def save(self, directory: str | Path) -> None:
        """Write `pairs.parquet`, `nulls.parquet`, perhaps `transfer.parquet` and, last, `result.json`; all, or none.

        Raises:
            Unavailable: the directory cannot be written to.
        """
        try:
            write_result(self.record, self.pairs_table, directory, self.nulls_table, self.transfer_table)
        except OSError as error:
            problem = f"cannot be written to ({error.strerror or error}); nothing is left there"
            raise Unavailable("directory", directory, problem) from error

    def explore(self, path: str | Path, progress: bool = True) -> None:
        """Write the feature explorer: a page to look at both feature spaces, which needs nothing but a browser.

        Activations are read from the cache that the comparison was given; a comparison without a cache has kept them in
        memory.

        Args:
            path: of the page, such as `explorer.html`.
            progress: whether to show progress bars.

        Raises:
            Unavailable: the comparison was read from files, the package umap-learn is missing, or the page cannot be
                written.
            ArgumentError: what was compared cannot be opened any more, or is not what it was.
        """
        from analogue.comparison.explorer import explore

        if self.inputs is None:
            problem = "was read from files and does not hold what was compared; run `analogue explore` on its folder"
            raise Unavailable("comparison", self._title, problem)
        explore(self.record, self.pairs_table, self.inputs, Path(path), progress)

    @classmethod
    def load(cls, directory: str | Path) -> "Comparison":
        """Read back what `save` or the command line has written.

        Raises:
            NotFound: there is no comparison in the directory.
            Unavailable: its files cannot be read, or the record does not fit the schema.
        """
        directory = Path(directory)
        files = (RESULT_FILE, PAIRS_FILE, NULLS_FILE, TRANSFER_FILE)
        record, pairs, nulls, transfer = (directory / name for name in files)
        if not (record.is_file() and pairs.is_file()):
            raise NotFound("directory", directory, f"holds no {RESULT_FILE} and {PAIRS_FILE}; give the folder of a job")
        try:
            draws = read_nulls(nulls) if nulls.is_file() else pa.table({})
            abroad = pq.read_table(transfer) if transfer.is_file() else None
            return cls(read_record(record), read_pairs(pairs), draws, abroad)
        except (OSError, ValueError) as error:
            raise Unavailable("directory", directory, f"cannot be read: {first_line(error)}") from error

    def __str__(self) -> str:
        """The tables that the command line prints."""
        return self._printed(no_color=True).export_text()

    def __repr__(self) -> str:
        scored = (entry for entry in self.record.similarity if entry["score"] is not None)
        scores = ", ".join(f"{label(entry)} {entry['score']:.3f}" for entry in scored)
        return f"<Comparison of {self._title}: {self.record.n_kept} pairs, {scores}>"

    @property
    def _title(self) -> str:
        a, b = self.record.side_a, self.record.side_b
        return f"{a.model}, layer {a.layer}, and {b.model}, layer {b.layer}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the same tables and warnings."""
        return self._printed().export_html(inline_styles=True, code_format=f'<pre style="{_STYLE}">{{code}}</pre>')

    def _printed(self, **settings: Any) -> "Console":
        from io import StringIO

        from rich.console import Console

        from analogue.reporting.tables import comparison_tables

        console = Console(width=100, markup=False, record=True, file=StringIO(), force_jupyter=False, **settings)
        console.print(comparison_tables(self.record))
        return console


def assemble(
    sides: tuple[OpenSide, OpenSide],
    corpus: Corpus,
    tokenised: TokenisedCorpus,
    collected: Collected,
    matching: Matching,
    decoder_rows: str,
    pairing: Pairing,
    spaces: tuple[FeatureSpace, FeatureSpace],
    evidence: PairEvidence | None,
    scores: Scores,
    consistency: DictionaryConsistency | None,
    concepts: list[ConceptResult],
    concept_pairing: dict[str, Any] | None,
    found_abroad: Transferred | None,
    timings: dict[str, float],
    config: Mapping[str, Any],
) -> Comparison:
    """Put together what the steps of a comparison found.

    Args:
        config: the settings, as the record keeps them: under the keys of `conf/compare.yaml`.
    """
    side_records = [side_record(side, collected) for side in sides]
    result = ComparisonResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        side_a=side_records[0],
        side_b=side_records[1],
        corpus=_corpus_record(corpus, tokenised),
        rule=matching.name,
        direction=str(matching.direction),
        funnel=[{"filter": name, "n_pairs": int(n_pairs)} for name, n_pairs in pairing.funnel],
        correlation={
            "mean": _mean(pairing.pairs.correlation),
            "mean_kept": _mean(pairing.pairs.correlation[pairing.pairs.kept]),
        },
        decoder_cosine=_decoder_cosine(pairing, *spaces),
        decoder_rows=str(decoder_rows),
        evidence=_evidence_record(evidence, pairing),
        consistency=None if consistency is None else consistency.to_dict(),
        similarity=[entry.to_dict() for entry in scores.similarity],
        concepts=[concept.to_dict() for concept in concepts],
        concept_pairing=concept_pairing,
        transfer=None if found_abroad is None else found_abroad.record,
        n_model_passes=collected.n_model_passes,
        timings={stage: round(seconds, 3) for stage, seconds in (timings | {"total": sum(timings.values())}).items()},
        versions=versions(),
        config=dict(config),
        warnings=[
            *comparison_warnings(
                sides, corpus, tokenised, collected, decoder_rows, side_records, evidence, scores.similarity
            ),
            *(found_abroad.warnings if found_abroad else []),
        ],
    )
    result = replace(result, published=[printed._asdict() for printed in published_for(result)])
    units = tokenised.units(sides[0])
    table = pairs_table(pairing, *spaces, units, scores.excess_correlation, evidence)
    return Comparison(result, table, nulls_table(scores), None if found_abroad is None else found_abroad.table)


def pairs_table(
    pairing: Pairing,
    a: FeatureSpace,
    b: FeatureSpace,
    units: TextUnits,
    excess_correlation: Float64[np.ndarray, " n_kept"] | None = None,
    evidence: PairEvidence | None = None,
) -> pa.Table:
    """One row per pair, dropped ones too: what it is, why it was dropped, and the top tokens of both features.

    Pairs that are kept also have the text about the top token of either feature.
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
        contexts = [units.context(position) if kept and position >= 0 else None for position, kept in rows]
        columns[f"context_{side}"] = pa.array(contexts, pa.string())
    if excess_correlation is not None:
        excess = np.full(len(pairs), np.nan)
        excess[pairs.kept] = excess_correlation
        columns["excess_correlation"] = pa.array(excess, from_pandas=True)
    if evidence is not None:
        columns["p_value"] = pa.array(evidence.p_value, from_pandas=True)
        columns["q_value"] = pa.array(evidence.q_value, from_pandas=True)
    return pa.table(columns)


def nulls_table(scores: Scores) -> pa.Table:
    """One column per metric and null, under its label, one row per draw."""
    drawn = {label(each.to_dict()): each.draws for each in scores.similarity if each.draws is not None}
    return pa.table({name: pa.array(draws, pa.float64()) for name, draws in drawn.items()})


def _corpus_record(corpus: Corpus, tokenised: TokenisedCorpus) -> CorpusRecord:
    of_a, of_b, aligned = tokenised.sequences["a"], tokenised.sequences["b"], tokenised.aligned
    return CorpusRecord(
        path=corpus.name,
        n_sequences=of_a.n_sequences,
        seq_len=of_a.seq_len,
        n_tokens=of_a.n_tokens,
        tokens_sha256=of_a.fingerprint(),
        spans=SpansRecord(aligned.n_spans, str(tokenised.aggregation), of_b.n_tokens, of_b.fingerprint())
        if aligned is not None
        else None,
        excluded=tokenised.excluded,
    )


def versions() -> dict[str, str]:
    """Of Python and of the libraries that decide the numbers."""
    own = {"python": platform.python_version(), "analogue": __version__}
    return own | {library: version(library) for library in LIBRARIES}


def side_record(side: OpenSide, collected: Collected) -> SideRecord:
    """What a record says of a side."""
    stored = collected.activations[side.label]
    explained, n_active = stored.facts["explained_variance"], stored.activations.n_active()
    return SideRecord(
        model=side.model.name,
        revision=side.model.revision,
        model_fingerprint=side.model.fingerprint,
        layer=side.layer,
        hook_point=str(side.model.hook),
        sae=side.sae_name,
        sae_architecture=side.sae.cfg.architecture(),
        d_model=side.model.d_model,
        d_sae=side.d_sae,
        n_live_features=int((n_active > 0).sum()),
        l0=stored.activations.l0(),
        explained_variance=explained if np.isfinite(explained) else None,
        activation_key=collected.keys[side.label],
        from_cache=side.label in collected.from_cache,
        sae_fingerprint=side.sae_fingerprint,
        decoder_norms=_norms(side.decoder[n_active > 0]),
    )


def _norms(rows: np.ndarray) -> dict[str, float] | None:
    if not len(rows):
        return None
    some = (rows[start : start + _ROWS].astype(np.float64) for start in range(0, len(rows), _ROWS))  # little memory
    norms = np.concatenate([np.linalg.norm(each, axis=1) for each in some])
    return {"lowest": float(norms.min()), "median": float(np.median(norms)), "highest": float(norms.max())}


def _evidence_record(evidence: PairEvidence | None, pairing: Pairing) -> dict[str, Any] | None:
    if evidence is None:
        return None
    sides = {
        label: {"n_tested": side.n_tested, "n_beyond_chance": side.n_beyond(Q), "n_positional": side.n_positional}
        for label, side in (("a", evidence.a), ("b", evidence.b))
    }
    kept = evidence.q_value[pairing.pairs.kept]
    return {
        "null": NullKind.permuted_sequences.value,
        "n_null": evidence.n_null,
        "n_sequences": evidence.n_sequences,
        "seed": evidence.seed,
        "pooled": evidence.pooled,
        "q": Q,
        **sides,
        "n_kept": len(kept),
        "n_kept_beyond_chance": int((kept <= Q).sum()),
    }


def _decoder_cosine(pairing: Pairing, a: FeatureSpace, b: FeatureSpace) -> dict[str, float | None] | None:
    """The mean over all pairs and over those kept, where both decoders have one width."""
    if a.decoder.shape[1] != b.decoder.shape[1]:
        return None
    cosines = paired_cosines(a.decoder[pairing.pairs.feature_a], b.decoder[pairing.pairs.feature_b])
    return {"mean": _mean(cosines), "mean_kept": _mean(cosines[pairing.pairs.kept])}


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _frame(rows: list[dict[str, Any]]) -> "pandas.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)
