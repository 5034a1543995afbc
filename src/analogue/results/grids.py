"""Jobs laid out layer by layer, as in the paper's Tables 5 to 8."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analogue.results.jobs import CHOICES, PLACES, Job, decisive_settings, identity
from analogue.results.record import ComparisonResult, flatten, label
from analogue.significance import benjamini_hochberg

LAYERS = frozenset({"layer_a", "layer_b"})


@dataclass(frozen=True)
class LayerGrid:
    """Jobs that differ in nothing but their layers: rows layer of A, columns layer of B.

    Attributes:
        jobs: by (layer_a, layer_b).
        setting: how this grid differs from the others of its sweep; empty if it is the only one.
    """

    jobs: dict[tuple[int, int], Job]
    setting: str

    @cached_property
    def rows(self) -> list[int]:
        """The layers of one axis, ascending."""
        return sorted({row for row, _ in self.jobs})

    @cached_property
    def columns(self) -> list[int]:
        """The layers of the other, ascending."""
        return sorted({column for _, column in self.jobs})

    @cached_property
    def first(self) -> ComparisonResult:
        """A record that stands for what all jobs have in common."""
        return next(iter(self.jobs.values())).result

    @property
    def metrics(self) -> list[str]:
        """The `label` of every score that a job of the grid has."""
        return list(dict.fromkeys(label(entry) for job in self.jobs.values() for entry in job.result.similarity))

    @property
    def title(self) -> str:
        """What a figure of the grid is called."""
        return f"{pair(self.first)}{f' · {self.setting}' if self.setting else ''}"

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the vertical and the horizontal axis."""
        return f"layer_a ({short(self.first.side_a.model)})", f"layer_b ({short(self.first.side_b.model)})"

    def values(self, read: Any) -> np.ndarray:
        """(rows, columns) of a number that `read` finds in each record; NaN where there is no job or no number."""
        array = np.full((len(self.rows), len(self.columns)), np.nan)
        for (row, column), job in self.jobs.items():
            value = read(job.result)
            array[self.rows.index(row), self.columns.index(column)] = math.nan if value is None else value
        return array

    def scores(self, metric: str, name: str, concept: str | None = None) -> np.ndarray:
        """(rows, columns) of a number of one score: `score`, `null_mean`, `p_value`, ..."""
        return self.values(lambda result: scored(result, metric, name, concept))

    @property
    def concepts(self) -> list[str]:
        """Every semantic subspace that a job of the grid has."""
        return list(dict.fromkeys(each["name"] for job in self.jobs.values() for each in job.result.concepts))

    def adjusted_p_values(self, metric: str, concept: str | None = None) -> np.ndarray:
        """P-values of one score, corrected over the jobs of this grid (Benjamini-Hochberg)."""
        p_values = self.scores(metric, "p_value", concept)
        return benjamini_hochberg(p_values.ravel()).reshape(p_values.shape)


def layer_grids(jobs: Sequence[Job]) -> list[LayerGrid]:
    """Jobs by grid; of two jobs that ask for the same comparison, the later one counts."""
    grids: dict[str, dict[tuple[int, int], Job]] = {}
    for job in sorted(jobs, key=lambda job: job.result.created):
        key = identity(job.result.config, PLACES | LAYERS)
        grids.setdefault(key, {})[job.result.side_a.layer, job.result.side_b.layer] = job
    order = {job.name: number for number, job in enumerate(jobs)}
    ordered = sorted(grids.values(), key=lambda grid: min(order[job.name] for job in grid.values()))
    settings = _settings([next(iter(grid.values())).result.config for grid in ordered])
    return [LayerGrid(dict(sorted(grid.items())), setting) for grid, setting in zip(ordered, settings, strict=True)]


def scored(result: ComparisonResult, metric: str, name: str, concept: str | None = None) -> float | None:
    """A number (`score`, `null_mean`, ...) of the score of that `label`, of the whole space or of a subspace."""
    return next((entry[name] for entry in scores_of(result, concept) if label(entry) == metric), None)


def scores_of(result: ComparisonResult, concept: str | None) -> list[dict[str, Any]]:
    """The entries of `similarity` of the whole space (None), or of a semantic subspace."""
    if concept is None:
        return result.similarity
    return next((each["similarity"] for each in result.concepts if each["name"] == concept), [])


def pair(result: ComparisonResult) -> str:
    """The two models by their short names."""
    return f"{short(result.side_a.model)} vs {short(result.side_b.model)}"


def short(model: str) -> str:
    """The last part of a model's name, which may be a path."""
    return model.rstrip("/").rsplit("/", 1)[-1].removeprefix("embedded:")


def protocol(result: ComparisonResult) -> str:
    """How the pairs were made and tested, in one line."""
    filters = ", ".join(step["filter"] for step in result.funnel[1:]) or "none"
    nulls = dict.fromkeys(f"{entry['n_null']} {entry['null']} draws" for entry in result.similarity if entry["n_null"])
    return f"{result.rule}, {result.direction}; filters: {filters}; null: {', '.join(nulls) or 'none'}; {result.corpus}"


def _settings(configs: list[dict[str, Any]]) -> list[str]:
    """For each configuration, how it differs from the others: the groups' options, then keys that no option decides."""
    flats = [flatten(decisive_settings(each, PLACES | LAYERS)) for each in configs]
    varying = _varying(flats)
    options = [
        {group: name for group, name in each.get(CHOICES, {}).items() if group not in PLACES} for each in configs
    ]
    # An option of a group without settings of its own, such as a preset, decides those of others: it comes first.
    groups = sorted(_varying(options), key=lambda group: any(group in each for each in configs))
    decided = _decided(varying, groups, flats, options)
    for group in reversed(groups):
        others = [each for each in groups if each != group]
        if _decided(varying, others, flats, options) == decided:
            groups = others
    left = [key for key in varying if key not in decided]
    return [
        " ".join([*(f"{group}={option.get(group)}" for group in groups), *(f"{key}={flat.get(key)}" for key in left)])
        for option, flat in zip(options, flats, strict=True)
    ]


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The option of each group that decides what a job finds; none of records that do not say."""
    options = config.get(CHOICES)
    return decisive_settings(options, PLACES) if isinstance(options, Mapping) else {}


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose values differ."""
    names = dict.fromkeys(name for each in settings for name in each)
    return [name for name in names if len({_text(each.get(name)) for each in settings}) > 1]


def _decided(
    keys: Sequence[str], groups: Sequence[str], flats: Sequence[Mapping[str, Any]], options: Sequence[Mapping[str, Any]]
) -> set[str]:
    """The keys whose values are equal in all jobs that chose the same options of these groups."""
    chosen = [tuple(each.get(group) for group in groups) for each in options]
    values = {key: {(option, _text(flat.get(key))) for option, flat in zip(chosen, flats, strict=True)} for key in keys}
    return {key for key, pairs in values.items() if len(pairs) == len({option for option, _ in pairs})}


def _text(value: Any) -> str:
    return json.dumps(value, default=str)
