"""The record of many spaces, and its files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from analogue.results.record import SideRecord, write_table, write_text

SCHEMA_VERSION = 1
UNIVERSALITY_FILE = "universality.json"
CLUSTERS_FILE = "clusters.parquet"
FEATURES_FILE = "features.parquet"
SPACES_FILE = "spaces.parquet"


@dataclass(frozen=True)
class UniversalityResult:
    """Many spaces; `universality.json` is this record.

    Attributes:
        created: UTC time, ISO 8601.
        names: of the spaces, in order.
        spaces: each space's model, layer and SAE.
        corpus: `path`, `n_sequences`, `seq_len`, `n_units` (tokens or spans), and `excluded` tokens.
        clustering: the settings, see `analogue.Clustering`.
        n_clusters: by size, from 2 to the number of spaces.
        spectrum: (n_spaces, n_spaces) of the live features of each space, how many are in 1, 2, ... spaces.
        spectrum_by_chance: `mean` and `highest` of the same over `n` draws of permuted sequences; None without draws.
        kinds: of each space, how many features are shared, related, exclusive, undetermined.
        matrices: (n_spaces, n_spaces) by name: `matched` (share of the row's live features linked with one of the
            column), `correlation` (mean of the linked), `pw_mcc`, and the score, null mean and p-value of each metric.
        tree: steps of average linkage over 1 - the mean of both shares matched: `one`, `other`, `distance`.
        places: (n_spaces, 2) of the map by the same distances; `shown` is the share of them that it shows.
        changes: from each space to the next, where they have an order: `stays`, `splits`, `merges`, `disappears`,
            `appears`, and the unions.
        config: the resolved configuration.
    """

    created: str
    names: list[str]
    spaces: list[SideRecord]
    corpus: dict[str, Any]
    clustering: dict[str, Any]
    n_clusters: dict[str, int]
    spectrum: list[list[int]]
    spectrum_by_chance: dict[str, Any] | None
    kinds: list[dict[str, int]]
    matrices: dict[str, list[list[float | None]]]
    tree: list[dict[str, Any]]
    places: list[list[float]]
    shown: float
    n_model_passes: int
    timings: dict[str, float]
    versions: dict[str, str]
    config: dict[str, Any]
    changes: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """The record as a JSON text."""
        return json.dumps({"schema_version": self.schema_version} | asdict(self), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "UniversalityResult":
        """Read a record back.

        Raises:
            ValueError: the record has another schema version.
        """
        fields = json.loads(text)
        if fields["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"expected a record of schema version {SCHEMA_VERSION}, got {fields['schema_version']}")
        return cls(**(fields | {"spaces": [SideRecord(**each) for each in fields["spaces"]]}))


def write_universality(result: UniversalityResult, tables: Mapping[str, pa.Table], directory: Path) -> None:
    """Write the tables by their file names and, last, `universality.json`.

    Raises:
        OSError: a file cannot be written.
    """
    text = result.to_json() + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / UNIVERSALITY_FILE).unlink(missing_ok=True)  # an old record must not vouch for new tables
    for name, table in tables.items():
        write_table(table, directory / name)
    write_text(text, directory / UNIVERSALITY_FILE)
