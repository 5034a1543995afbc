"""The record of one comparison, and its files: everything that tables, figures, sweeps and W&B are made from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analogue.atomic import atomic_write
from analogue.results.schema import DamagedRecord, check_record, read_json

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"
PAIRS_FILE = "pairs.parquet"
NULLS_FILE = "nulls.parquet"
TRANSFER_FILE = "transfer.parquet"
EXPLORER_FILE = "explorer.html"  # where it was asked for


@dataclass(frozen=True)
class SideRecord:
    """One side: the model, the layer, the SAE and how well it reconstructs the residual stream.

    Attributes:
        hook_point: where the activations were taken.
        n_live_features: features that fired on at least one token.
        l0: mean number of active features per token.
        explained_variance: of the residual stream by the SAE's reconstruction, over the tokens compared.
        activation_key: name of the activations in the store.
        from_cache: True where no model pass was needed.
        sae_fingerprint: of the SAE's configuration and weights.
        decoder_norms: `lowest`, `median` and `highest` norm of the decoder rows of live features, as the SAE has them;
            None without live features, and in records of earlier versions.
    """

    model: str
    revision: str | None
    model_fingerprint: str
    layer: int
    hook_point: str
    sae: str
    sae_architecture: str
    d_model: int
    d_sae: int
    n_live_features: int
    l0: float
    explained_variance: float | None
    activation_key: str
    from_cache: bool
    sae_fingerprint: str
    decoder_norms: dict[str, float] | None = None


@dataclass(frozen=True)
class SpansRecord:
    """The common spans of two tokenisations, on which features were compared, and what B read of the same text."""

    n_spans: int
    aggregation: str
    n_tokens_b: int
    tokens_sha256_b: str


@dataclass(frozen=True)
class CorpusRecord:
    """The tokens that both models read, or those of A where tokenizers differ.

    Attributes:
        tokens_sha256: equal for equal tokens.
        excluded: tokens that do not count, of each side (`a`, `b`) by the reason (`bos`, `special`, `outliers`).
        spans: None where features were compared on tokens.
    """

    path: str
    n_sequences: int
    seq_len: int
    n_tokens: int
    tokens_sha256: str
    spans: SpansRecord | None = None
    excluded: dict[str, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        """What features were compared on, in a few words."""
        read = f"{self.n_tokens} tokens"
        if self.spans is not None:
            read = f"{self.spans.n_spans} spans ({self.spans.aggregation}) of {self.n_tokens} and "
            read += f"{self.spans.n_tokens_b} tokens"
        return f"{read} in {self.n_sequences} sequences of {self.path}"


@dataclass(frozen=True)
class ComparisonResult:
    """One comparison; `result.json` is this record.

    Attributes:
        created: UTC time, ISO 8601.
        funnel: `{filter, n_pairs}`: pairs left after each filter, beginning with all pairs.
        correlation: mean activation correlation of all pairs and of those kept.
        decoder_cosine: mean cosine of the paired decoder rows, likewise; None for models of different widths.
        decoder_rows: what metrics saw of the decoders: rows of `unit` norm, or `raw`.
        rule: how features were paired, see `analogue.matching.RULES`.
        evidence: of the pairs, against permuted sequences; None if they were not drawn. `n_null` draws of `n_sequences`
            sequences, `pooled` over features with similar firing counts or not; for `a` and `b` how many features were
            tested, have a partner beyond chance at a false discovery rate of `q`, and follow the position in the
            sequence (this null says nothing about those); of the `n_kept` pairs, how many are beyond chance.
        consistency: of the two dictionaries, see `analogue.similarity.DictionaryConsistency`; None if not asked for.
        similarity: one entry per metric and null, see `analogue.significance.SimilarityResult`.
        concepts: one entry per semantic subspace, see `analogue.concepts.ConceptResult`.
        concept_pairing: how the features of subspaces were paired, within them: `rule`, `one_to_one`, `filters` (none),
            and whether `fragments` of keywords counted, and words were `split_at_spaces`; None without concepts.
        transfer: whether features can be used in the other model, see docs/transfer.md; None unless asked for.
        published: what the paper prints for this very comparison, see `analogue.results.published`.
        n_model_passes: how often a language model went over the corpus for this job (0 with a warm cache).
        timings: seconds per stage.
        versions: of Python and the libraries that decide the numbers.
        config: the resolved configuration.
    """

    created: str
    side_a: SideRecord
    side_b: SideRecord
    corpus: CorpusRecord
    rule: str
    direction: str
    funnel: list[dict[str, Any]]
    correlation: dict[str, float | None]
    similarity: list[dict[str, Any]]
    n_model_passes: int
    timings: dict[str, float]
    versions: dict[str, str]
    config: dict[str, Any]
    decoder_cosine: dict[str, float | None] | None = None
    decoder_rows: str = "raw"  # for records that do not hold this field
    evidence: dict[str, Any] | None = None
    consistency: dict[str, Any] | None = None
    concepts: list[dict[str, Any]] = field(default_factory=list)
    concept_pairing: dict[str, Any] | None = None
    transfer: dict[str, Any] | None = None
    published: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION

    @property
    def n_kept(self) -> int:
        """Pairs left after all filters."""
        return int(self.funnel[-1]["n_pairs"])

    def to_json(self) -> str:
        """The record as a JSON text."""
        return json.dumps(
            {"schema_version": self.schema_version} | asdict(self), indent=2, allow_nan=False, default=_number
        )

    @classmethod
    def from_json(cls, text: str) -> "ComparisonResult":
        """Read a record back.

        Raises:
            DamagedRecord: a ValueError, which names the field that does not fit the schema, or another version.
        """
        fields = read_json(text)
        version = fields.get("schema_version")
        if version != SCHEMA_VERSION or isinstance(version, bool):
            newer = isinstance(version, int) and version > SCHEMA_VERSION
            advice = "a newer version of analogue wrote it" if newer else "compute it again"
            raise DamagedRecord(f"its field schema_version: expected {SCHEMA_VERSION}, got {version!r}; {advice}")
        check_record(cls, fields)
        sides = {side: SideRecord(**fields[side]) for side in ("side_a", "side_b")}
        spans = fields["corpus"].get("spans")
        corpus = CorpusRecord(**(fields["corpus"] | {"spans": SpansRecord(**spans) if spans else None}))
        return cls(**(fields | sides | {"corpus": corpus}))


def label(entry: Mapping[str, Any]) -> str:
    """What tables and figures call an entry of `similarity`: its metric, and its null unless that is the shuffle.

    For scores of something other than decoder rows, the label says of what.
    """
    metric, null = entry["metric"], entry["null"]
    if entry.get("on", "decoder") != "decoder":
        return f"{metric}_on_{entry['on']}"
    return str(metric) if null == "shuffle" else f"{metric}_vs_{null}"


def write_result(
    result: ComparisonResult,
    pairs: pa.Table,
    directory: str | Path,
    nulls: pa.Table | None = None,
    transfer: pa.Table | None = None,
) -> None:
    """Write `pairs.parquet`, `nulls.parquet`, `transfer.parquet` and, last, `result.json`: all of them or none.

    Args:
        nulls: one column per `label`, one row per draw of its null; None if the draws were not kept.
        transfer: a row per kept pair; None if it was not asked for.

    Raises:
        OSError: a file cannot be written.
    """
    directory, record = Path(directory), result.to_json() + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    _remove(directory, RESULT_FILE, PAIRS_FILE, NULLS_FILE, TRANSFER_FILE)  # an old record must not vouch for new pairs
    try:
        write_table(pairs, directory / PAIRS_FILE)
        if nulls is not None:
            write_table(nulls, directory / NULLS_FILE)
        if transfer is not None:
            write_table(transfer, directory / TRANSFER_FILE)
        write_text(record, directory / RESULT_FILE)
    except OSError:
        _remove(directory, PAIRS_FILE, NULLS_FILE, TRANSFER_FILE)
        raise


def read_results(directory: str | Path) -> list[ComparisonResult]:
    """All records under a directory, ordered by layer of A, then layer of B.

    Raises:
        DamagedRecord: naming the file and the field.
    """
    records = [read_record(file) for file in sorted(Path(directory).rglob(RESULT_FILE))]
    return sorted(records, key=lambda record: (record.side_a.layer, record.side_b.layer))


def read_record(file: Path) -> ComparisonResult:
    """The record in a file.

    Raises:
        DamagedRecord: it does not fit the schema.
        OSError: the file cannot be read.
    """
    try:
        return ComparisonResult.from_json(file.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding too
        raise DamagedRecord(f"{file} is no record that can be read: {error}") from error


def write_text(text: str, path: Path) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys.

    Example:
        >>> flatten({"null": {"n": 19}, "seed": 0})
        {'null.n': 19, 'seed': 0}
    """
    leaves: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def _remove(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).unlink(missing_ok=True)


def _number(value: Any) -> Any:
    """Convert a NumPy number, such as a seed from `np.arange`, to a Python number."""
    if not isinstance(value, np.generic):
        raise TypeError(f"{type(value).__name__} has no place in a record")
    return value.item()
