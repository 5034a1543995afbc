"""What the feature explorer shows of a comparison: arrays in, arrays out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int64

from analogue.concepts import FeatureSpace
from analogue.corpus import TextUnits
from analogue.features import (
    HeldActivations,
    example_positions,
    held_activations,
    inside,
    sample_size,
    sampled,
    windows,
)
from analogue.matching import BestPartners, nearest_rows, paired_cosines
from analogue.models import PromotedTokens
from analogue.reporting.explorer import ExplorerPage

REACH = 20
"""Units of text shown on either side of an example."""
CHUNK = 50
"""Features whose details are unpacked together."""
N_TOP, N_LOWER, N_NEAREST, N_BINS = 6, 6, 5, 24
ENTRIES = 700_000
"""Activations of either side that a page holds besides those within the examples, so that it stays within 30 MB."""
ENTRIES_PER_FEATURE = 200
EXAMPLE_ENTRIES = 1_200_000
"""Activations of either side within the examples: features that fire on most tokens show them in narrower windows."""
REACHES = (REACH, 10, 5, 2, 0)
FULL_SCALE = 32767
"""An activation is kept as a share of its feature's highest, in this many steps."""


@dataclass(frozen=True, eq=False)
class ExploredSide:
    """One side, as far as the page shows it.

    Attributes:
        space: activations on the units of text, top tokens, decoder rows.
        partners: (d_sae, 5) the features of the other side that correlate most with each feature.
        map: (n_live, 2) where the decoder rows of live features lie on the panel.
        concepts: (n_concepts, d_sae) which features belong to which concept.
        lens: what live features promote; None where it cannot be known.
        lens_strings: the string of each of its tokens.
    """

    space: FeatureSpace
    partners: BestPartners
    map: Float32[np.ndarray, "n_live 2"]
    concepts: Bool[np.ndarray, "n_concepts d_sae"]
    lens: PromotedTokens | None = None
    lens_strings: Mapping[int, str] | None = None

    @cached_property
    def live(self) -> Int64[np.ndarray, " n_live"]:
        """The features that fire; the page knows each by its row here."""
        return np.flatnonzero(self.space.acts.n_active())

    @cached_property
    def rows(self) -> Int64[np.ndarray, " d_sae"]:
        """The row of every feature, -1 for a dead one."""
        rows = np.full(self.space.acts.d_sae, -1, dtype=np.int64)
        rows[self.live] = np.arange(len(self.live))
        return rows


class _Columns(NamedTuple):
    """The activations of live features, one after the other, tokens ascending."""

    indptr: np.ndarray
    tokens: np.ndarray
    values: np.ndarray

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        some = slice(self.indptr[row], self.indptr[row + 1])
        return self.tokens[some], self.values[some]

    def __len__(self) -> int:
        return len(self.indptr) - 1


class _Strings:
    """A table of strings, each once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self.places.setdefault(text, len(self.places))

    def table(self, rows: Sequence[Sequence[str]], width: int) -> np.ndarray:
        placed = np.full((len(rows), width), -1, dtype=np.int32)
        for row, texts in enumerate(rows):
            placed[row, : len(texts)] = [self.place(text) for text in texts]
        return placed


def explorer_page(
    a: ExploredSide, b: ExploredSide, units: TextUnits, pairs: pa.Table, facts: Mapping[str, Any]
) -> ExplorerPage:
    """Gather what the page shows.

    Args:
        a: side a.
        b: side b.
        units: the text that both sides' activations are on.
        pairs: as in `pairs.parquet`.
        facts: further plain values for the page.
    """
    strings, sides = _Strings(), {"a": a, "b": b}
    place_of = {unit: strings.place(text) for unit, text in sorted(units.strings.items())}
    index = {
        "units": np.array([place_of[unit] for unit in units.ids.tolist()], dtype=np.int32),
        "lengths": units.lengths.astype(np.int32),
    }
    filters, columns = _pair_columns(pairs, a, b)
    index |= columns
    all_columns = {label: _columns(side) for label, side in sides.items()}
    examples = {label: [*map(_examples(of), range(len(of)))] for label, of in all_columns.items()}
    details = {}
    for label, other in (("a", "b"), ("b", "a")):
        side, own = sides[label], all_columns[label]
        index |= {f"{name}_{label}": each for name, each in _side_index(side, own, sides[other], strings).items()}
        shown_with = _shown_with(index, label, other, sides)
        held = _held(own, examples[label], examples[other], shown_with, units.lengths)
        nearest = nearest_rows(side.space.decoder[side.live], N_NEAREST)
        cap = sample_size(np.diff(own.indptr), ENTRIES, ENTRIES_PER_FEATURE)
        details[label] = [
            _chunk(rows, side, sides[other], own, examples[label], shown_with, held, cap, nearest, strings)
            for rows in np.split(np.arange(len(own)), range(CHUNK, len(own), CHUNK))
        ]
    known = {"filters": filters, "chunk": CHUNK, "reach": REACH, "strings": [*strings.places]}
    return ExplorerPage({**facts, **known}, index, details)


def _columns(side: ExploredSide) -> _Columns:
    by_feature = side.space.acts.to_scipy().tocsc()
    indptr = np.concatenate([[0], np.cumsum(side.space.acts.n_active()[side.live])])
    return _Columns(indptr, by_feature.indices.astype(np.int64), by_feature.data)


def _examples(columns: _Columns) -> Any:
    return lambda row: example_positions(*columns.of(row), N_TOP, N_LOWER, REACH)


def _pair_columns(pairs: pa.Table, a: ExploredSide, b: ExploredSide) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of the filters that dropped pairs, and the columns of the list; `dropped` is 0 for a kept pair."""
    feature_a, feature_b = (pairs[f"feature_{side}"].to_numpy() for side in "ab")
    dropped_by = pairs["dropped_by"].to_pylist()
    filters = ["", *sorted(set(dropped_by) - {""})]
    columns = {
        "pair_a": a.rows[feature_a].astype(np.int32),
        "pair_b": b.rows[feature_b].astype(np.int32),
        "correlation": pairs["correlation"].to_numpy(),
        "dropped": np.array([filters.index(name) for name in dropped_by], dtype=np.uint8),
    }
    if a.space.decoder.shape[1] == b.space.decoder.shape[1]:
        columns["cosine"] = paired_cosines(a.space.decoder[feature_a], b.space.decoder[feature_b])
    for name in ("p_value", "q_value"):
        if name in pairs.column_names:
            columns[name] = pairs[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return filters, columns


def _side_index(side: ExploredSide, own: _Columns, other: ExploredSide, strings: _Strings) -> dict[str, np.ndarray]:
    live, top = side.live, side.space.top
    highest = np.array([np.abs(own.of(row)[1]).max() for row in range(len(own))], dtype=np.float32)
    concept, feature = np.nonzero(side.concepts[:, live])
    best = side.partners.indices[live, 0]
    return {
        "feature": live.astype(np.int32),
        "n_active": np.diff(own.indptr).astype(np.int32),
        "scale": highest,
        "map": side.map.astype(np.float32),
        "top": strings.table([top.strings[each] for each in live.tolist()], top.positions.shape[1]),
        "top_at": top.positions[live, 0].astype(np.int32),
        "concept": np.stack([feature, concept], axis=1).astype(np.int32),
        "best": np.where(best >= 0, other.rows[best], -1).astype(np.int32),
        "best_correlation": side.partners.correlations[live, 0],
    }


def _shown_with(
    index: Mapping[str, np.ndarray], label: str, other: str, sides: Mapping[str, ExploredSide]
) -> list[list[int]]:
    """For each feature those of the other side whose examples show its activations: partners first, then runners-up."""
    met: list[dict[int, None]] = [{} for _ in sides[label].live]
    for pair in np.argsort(index["dropped"] > 0, kind="stable").tolist():
        met[index[f"pair_{label}"][pair]][int(index[f"pair_{other}"][pair])] = None
    chosen = sides[other].partners.indices[sides[other].live]
    rows = np.where(chosen >= 0, sides[label].rows[chosen], -1)
    for rank in range(rows.shape[1]):
        for row, own in enumerate(rows[:, rank].tolist()):
            if own >= 0:
                met[own][row] = None
    return [[*each] for each in met]


def _held(
    own: _Columns,
    examples: Sequence[np.ndarray],
    examples_of_other: Sequence[np.ndarray],
    shown_with: Sequence[Sequence[int]],
    lengths: np.ndarray,
) -> Callable[[int], HeldActivations]:
    """What the page holds of a feature, by its row: activations about its examples, and about those that show it."""

    def wanted(row: int) -> list[np.ndarray]:
        return [examples[row], *(examples_of_other[each] for each in shown_with[row])]

    def counted(row: int) -> int:
        tokens, _ = own.of(row)
        return int(inside(tokens, *windows(np.concatenate(wanted(row)), lengths, REACH)).sum())

    counts = [counted(row) for row in range(len(own))]
    room = sample_size(counts, EXAMPLE_ENTRIES, max(counts, default=0))
    return lambda row: held_activations(own.of(row)[0], wanted(row), lengths, room, REACHES)


def _chunk(
    rows: np.ndarray,
    side: ExploredSide,
    other: ExploredSide,
    own: _Columns,
    examples: Sequence[np.ndarray],
    shown_with: Sequence[Sequence[int]],
    held: Callable[[int], HeldActivations],
    cap: int,
    nearest: tuple[np.ndarray, np.ndarray],
    strings: _Strings,
) -> dict[str, np.ndarray]:
    entries, limits, histograms, ranges, reaches, beside = [], [], [], [], [], []
    for row in rows.tolist():
        tokens, values = own.of(row)
        some, limit = sampled(tokens, cap)
        kept = held(row)
        some |= kept.which
        reaches.append(kept.reach)
        beside.append(shown_with[row][: kept.n_groups - 1])
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        shares = np.rint(values[some] / np.abs(values).max() * FULL_SCALE)
        shares = np.where(shares == 0, np.sign(values[some]), shares).astype(np.int16)  # none rounds to 0
        entries.append((np.diff(tokens[some], prepend=0), shares))
        limits.append(limit)
        histograms.append(np.histogram(values, bins=N_BINS, range=(low, high))[0])
        ranges.append((low, high))
    partners = side.partners.indices[side.live[rows]]
    chunk = {
        "indptr": np.cumsum([0, *(len(shares) for _, shares in entries)], dtype=np.int32),
        "steps": np.concatenate([steps for steps, _ in entries]).astype(np.int32),
        "shares": np.concatenate([shares for _, shares in entries]),
        "reach": np.array(reaches, dtype=np.uint8),
        "beside_indptr": np.cumsum([0, *map(len, beside)], dtype=np.int32),
        "beside": np.array([each for some in beside for each in some], dtype=np.int32),
        "limit": np.array([max(limit, 0) for limit in limits], dtype=np.uint32),
        "examples": _padded([examples[row] for row in rows.tolist()], N_TOP + N_LOWER),
        "histogram": np.array(histograms, dtype=np.int32),
        "range": np.array(ranges, dtype=np.float32),
        "partners": np.where(partners >= 0, other.rows[partners], -1).astype(np.int32),
        "partner_correlations": side.partners.correlations[side.live[rows]].astype(np.float32),
        "nearest": nearest[0][rows].astype(np.int32),
        "cosines": nearest[1][rows].astype(np.float32),
    }
    if side.lens is not None and side.lens_strings is not None:
        for name, ids in (("promoted", side.lens.promoted[rows]), ("suppressed", side.lens.suppressed[rows])):
            texts = [[side.lens_strings[token] for token in tokens] for tokens in ids.tolist()]
            chunk[name] = strings.table(texts, ids.shape[1])
        chunk |= {"raises": side.lens.raises[rows], "lowers": side.lens.lowers[rows]}
    return chunk


def _padded(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    filled = np.full((len(rows), width), -1, dtype=np.int32)
    for row, values in enumerate(rows):
        filled[row, : len(values)] = values
    return filled
