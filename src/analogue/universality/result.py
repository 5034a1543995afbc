"""What was found of many spaces: its record and tables, to look at and to save."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analogue.comparison.result import side_record, versions
from analogue.errors import NotFound, Unavailable
from analogue.features import top_tokens
from analogue.results.universality import (
    CLUSTERS_FILE,
    FEATURES_FILE,
    SPACES_FILE,
    UNIVERSALITY_FILE,
    UniversalityResult,
    write_universality,
)
from analogue.settings import Clustering, Corpus
from analogue.universality.among_spaces import map_of, tree
from analogue.universality.changes import Changes, Union
from analogue.universality.clusters import Clusters, strengths
from analogue.universality.scores import N_TOP, Between
from analogue.universality.spaces import ReadSpaces
from analogue.universality.spectrum import Kind
from analogue.universality.stability import Stability

if TYPE_CHECKING:
    import pandas

N_CONTEXTS = 3
TABLES = (CLUSTERS_FILE, FEATURES_FILE, SPACES_FILE)
_FEW_TOKENS = 0.5  # of a space's features undetermined


@dataclass(frozen=True, eq=False)
class Found:
    """The results of the steps, before they are put on record."""

    clusters: Clusters
    correlations: np.ndarray
    stability: Stability
    spectrum: np.ndarray
    spectra_by_chance: np.ndarray
    kinds: list[np.ndarray]
    changes: list[Changes]
    scores: Mapping[tuple[int, int], Between]


@dataclass(frozen=True, eq=False)
class Universality:
    """Which features many spaces have in common.

    Attributes:
        record: everything but the tables; `save` writes it as `universality.json`.
        tables: by file name.
    """

    record: UniversalityResult
    tables: Mapping[str, pa.Table]

    @property
    def clusters(self) -> "pandas.DataFrame":
        """A row per cluster and member.

        Columns: size, strength and stability of the cluster; space, feature, correlation with the other members, firing
        count, top tokens and contexts of the member.
        """
        return self.tables[CLUSTERS_FILE].to_pandas()

    @property
    def features(self) -> "pandas.DataFrame":
        """A row per live feature: its kind, its cluster, in how many spaces it is (with a 95 % interval)."""
        return self.tables[FEATURES_FILE].to_pandas()

    @property
    def spaces(self) -> "pandas.DataFrame":
        """A row per two spaces: how many features are linked, their mean correlation, scores with their nulls."""
        return self.tables[SPACES_FILE].to_pandas()

    def save(self, directory: str | Path) -> None:
        """Write the tables and, last, `universality.json`.

        Raises:
            Unavailable: the directory cannot be written to.
        """
        try:
            write_universality(self.record, self.tables, Path(directory))
        except OSError as error:
            raise Unavailable("directory", directory, f"cannot be written to ({error.strerror or error})") from error

    @classmethod
    def load(cls, directory: str | Path) -> "Universality":
        """Read back what `save` or the command line has written.

        Raises:
            NotFound: the directory holds no such record.
        """
        directory = Path(directory)
        files = [directory / name for name in (UNIVERSALITY_FILE, *TABLES)]
        if not all(file.is_file() for file in files):
            raise NotFound("directory", directory, f"holds no {UNIVERSALITY_FILE} with its tables; give a run's folder")
        record = UniversalityResult.from_json(files[0].read_text(encoding="utf-8"))
        return cls(record, {file.name: pq.read_table(file) for file in files[1:]})

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} in {size}" for size, n in reversed(self.record.n_clusters.items()))
        return f"<Universality of {len(self.record.names)} spaces: clusters {counts}>"


def assemble(
    names: Sequence[str],
    read: ReadSpaces,
    corpus: Corpus,
    clustering: Clustering,
    found: Found,
    timings: Mapping[str, float],
    config: Mapping[str, Any],
) -> Universality:
    """Put together what the steps found."""
    n = len(names)
    matrices = _matrices(n, found.scores)
    matched = np.array(matrices["matched"], dtype=float)
    distance = 1 - (matched + matched.T) / 2
    np.fill_diagonal(distance, 0.0)
    places, shown = map_of(distance)
    sizes = np.bincount(found.clusters.sizes, minlength=n + 1)
    own = read.text.sequences[read.sides[0].label]
    record = UniversalityResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        names=[*names],
        spaces=[side_record(side, read.collected) for side in read.sides],
        corpus={
            "path": corpus.name,
            "n_sequences": own.n_sequences,
            "seq_len": own.seq_len,
            "n_units": len(read.units.ids),
            "spans": read.text.aligned is not None,
            "excluded": read.text.excluded,
        },
        clustering=asdict(clustering),
        n_clusters={str(size): int(sizes[size]) for size in range(2, n + 1)},
        spectrum=found.spectrum.tolist(),
        spectrum_by_chance=_by_chance(found.spectra_by_chance),
        kinds=[{kind.value: int((each == kind).sum()) for kind in Kind} for each in found.kinds],
        matrices=matrices,
        tree=[step._asdict() for step in tree(distance)],
        places=places.tolist(),
        shown=shown,
        n_model_passes=read.collected.n_model_passes,
        timings={stage: round(seconds, 3) for stage, seconds in timings.items()},
        versions=versions(),
        config=dict(config),
        changes=[_change(each) for each in found.changes],
        warnings=_warnings(names, read, found),
    )
    tables = {
        CLUSTERS_FILE: _clusters_table(names, read, found),
        FEATURES_FILE: _features_table(names, read, found),
        SPACES_FILE: _spaces_table(names, found.scores),
    }
    return Universality(record, tables)


def _matrices(n: int, scores: Mapping[tuple[int, int], Between]) -> dict[str, list[list[float | None]]]:
    filled: dict[str, np.ndarray] = {}

    def put(name: str, row: int, column: int, value: float | None) -> None:
        filled.setdefault(name, np.full((n, n), np.nan))[row, column] = np.nan if value is None else value

    for (s, t), each in scores.items():
        put("matched", s, t, each.shares[0])
        put("matched", t, s, each.shares[1])
        symmetric = {"correlation": each.correlation, "pw_mcc": each.pw_mcc}
        for entry in each.similarity:
            symmetric |= {entry.metric: entry.score, f"{entry.metric}_null": entry.null_mean}
            symmetric |= {f"{entry.metric}_p": entry.p_value}
        for name, value in symmetric.items():
            put(name, s, t, value)
            put(name, t, s, value)
    for name in ("matched", "correlation"):
        np.fill_diagonal(filled[name], 1.0)
    return {
        name: [[float(value) if np.isfinite(value) else None for value in row] for row in matrix]
        for name, matrix in filled.items()
        if np.isfinite(matrix).any()
    }


def _by_chance(drawn: np.ndarray) -> dict[str, Any] | None:
    if not len(drawn):
        return None
    return {"n": len(drawn), "mean": drawn.mean(axis=0).tolist(), "highest": drawn.max(axis=0).tolist()}


def _change(each: Changes) -> dict[str, Any]:
    def unions(found: list[Union]) -> list[dict[str, Any]]:
        return [asdict(union) for union in sorted(found, key=lambda union: -union.covered)]

    return {
        "stays": len(each.stays),
        "splits": unions(each.splits),
        "merges": unions(each.merges),
        "disappears": len(each.disappears),
        "appears": len(each.appears),
    }


def _warnings(names: Sequence[str], read: ReadSpaces, found: Found) -> list[str]:
    """Reasons to doubt the numbers, a sentence each."""
    warnings = [warning for side in read.sides for warning in side.warnings]
    fingerprints = [f"{side.sae_fingerprint} {side.model_identity} {side.layer}" for side in read.sides]
    for number, fingerprint in enumerate(fingerprints):
        if (first := fingerprints.index(fingerprint)) < number:
            warnings.append(f"{names[first]} and {names[number]} are one space: what they share says nothing")
    for name, kind in zip(names, found.kinds, strict=True):
        if (kind == Kind.undetermined).sum() > _FEW_TOKENS * max(1, (kind != "").sum()):
            warnings.append(f"most features of {name} fire too rarely to tell whether others have them; read more text")
    return warnings


def _clusters_table(names: Sequence[str], read: ReadSpaces, found: Found) -> pa.Table:
    cluster, space = np.nonzero(found.clusters.members >= 0)
    feature = found.clusters.members[cluster, space]
    low, high = found.stability.interval()
    strength, sizes = strengths(found.correlations), found.clusters.sizes
    tops = [top_tokens(acts, read.units.ids, read.units.strings, N_TOP) for acts in read.activations]
    counts = [acts.n_active() for acts in read.activations]
    strings = pa.list_(pa.string())
    where = list(zip(space.tolist(), feature.tolist(), strict=True))
    positions = [tops[s].positions[f, :N_CONTEXTS] for s, f in where]
    contexts = [[read.units.context(int(p)) for p in each if p >= 0] for each in positions]
    return pa.table(
        {
            "cluster": pa.array(cluster),
            "size": pa.array(sizes[cluster]),
            "strength": pa.array(strength[cluster]),
            "stability": pa.array(found.stability.share[cluster], from_pandas=True),
            "size_low": pa.array(low[cluster], from_pandas=True),
            "size_high": pa.array(high[cluster], from_pandas=True),
            "space": pa.array(space),
            "space_name": pa.array([names[s] for s, _ in where], pa.string()),
            "feature": pa.array(feature),
            "correlation": pa.array(found.correlations[cluster, space]),
            "n_active": pa.array([int(counts[s][f]) for s, f in where], pa.int64()),
            "top_tokens": pa.array([list(tops[s].strings[f]) for s, f in where], strings),
            "contexts": pa.array(contexts, strings),
        }
    )


def _features_table(names: Sequence[str], read: ReadSpaces, found: Found) -> pa.Table:
    low, high = found.stability.interval()
    parts = []
    for space, (acts, kind) in enumerate(zip(read.activations, found.kinds, strict=True)):
        live = np.flatnonzero(kind != "")
        cluster = found.clusters.of_features(space, acts.d_sae)[live]
        shared = cluster >= 0
        top = top_tokens(acts, read.units.ids, read.units.strings, N_TOP)
        n_spaces = np.ones(len(live), dtype=np.int64)
        n_spaces[shared] = found.clusters.sizes[cluster[shared]]
        ends = np.full((2, len(live)), np.nan)
        ends[:, shared] = low[cluster[shared]], high[cluster[shared]]
        columns = {
            "space": pa.array(np.full(len(live), space)),
            "space_name": pa.array([names[space]] * len(live), pa.string()),
            "feature": pa.array(live),
            "kind": pa.array(kind[live].tolist(), pa.string()),
            "cluster": pa.array(cluster, mask=~shared),
            "n_spaces": pa.array(n_spaces),
            "n_spaces_low": pa.array(ends[0], from_pandas=True),
            "n_spaces_high": pa.array(ends[1], from_pandas=True),
            "n_active": pa.array(acts.n_active()[live]),
            "top_tokens": pa.array([list(top.strings[f]) for f in live.tolist()], pa.list_(pa.string())),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _spaces_table(names: Sequence[str], scores: Mapping[tuple[int, int], Between]) -> pa.Table:
    rows = []
    for (s, t), each in scores.items():
        row: dict[str, Any] = {"space_a": names[s], "space_b": names[t], "n_linked": each.n_linked}
        row |= {"share_a": each.shares[0], "share_b": each.shares[1]}
        row |= {"correlation": each.correlation, "pw_mcc": each.pw_mcc, "pw_mcc_floor": each.pw_mcc_floor}
        for entry in each.similarity:
            numbers = {"score": entry.score, "null_mean": entry.null_mean, "null_sd": entry.null_sd}
            row |= {f"{entry.metric}_{name}": value for name, value in numbers.items()}
            row |= {f"{entry.metric}_p": entry.p_value}
        rows.append({name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in row.items()})
    columns = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in columns})
