"""Scores of the kept pairs, and of semantic subspaces, against their nulls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from jaxtyping import Float64
from rich.progress import Progress

from analogue.cli.schema import CompareConfig
from analogue.concepts import ConceptResult, FeatureSpace, TokenText, score_concepts
from analogue.errors import UserError, first_line
from analogue.matching import FeaturePairs, Standardised
from analogue.significance import (
    SimilarityResult,
    correlations_against_rotations,
    random_pairs,
    score_against_draws,
    score_against_null,
)
from analogue.similarity import METRICS, Metric, metric

Advance = Callable[[int], None]
CPU = torch.device("cpu")
# Fewer pairs are drawn by the CPU before a GPU has started.
_WORTH_GPU = 1024
# For every two pairs: the matrices that all metrics together keep on a GPU, and what they take on the way.
_GPU_BYTES = 160


@dataclass(frozen=True, eq=False)
class Scores:
    """Similarity of the kept pairs against each null.

    Attributes:
        excess_correlation: (n_kept,) each kept pair's correlation beyond the claiming feature's highest in rotated
            bases; None unless `null.kinds` has `rotated`.
    """

    similarity: list[SimilarityResult]
    excess_correlation: Float64[np.ndarray, " n_kept"] | None = None


def configured_metrics(entries: Sequence[Any], seed: int) -> list[Metric]:
    """Metrics by name, whose random choices follow from the seed, or from a mapping with `_target_`.

    Raises:
        UserError: there is none, one is unknown, cannot be made, or is asked for twice.
    """
    if not entries:
        raise UserError("metrics", entries, f"names no metric; choose from {', '.join(METRICS)}")
    metrics = [_metric(entry, seed) for entry in entries]
    names = [each.name for each in metrics]
    if len(set(names)) < len(names):
        raise UserError("metrics", names, "names a metric twice; name each once")
    return metrics


def score_pairs(
    config: CompareConfig, a: FeatureSpace, b: FeatureSpace, pairs: FeaturePairs, device: torch.device = CPU
) -> Scores:
    """Score the kept pairs with every metric against every null that is asked for; many of them on a GPU given."""
    kept = pairs.kept_pairs()
    metrics = configured_metrics(config.metrics, config.seed)
    if _scores_on(device, len(kept)):
        a, b = (replace(side, decoder=torch.as_tensor(side.decoder, device=device)) for side in (a, b))
    x, y = a.decoder[kept.feature_a], b.decoder[kept.feature_b]
    kinds = [kind.value for kind in config.null.kinds]
    similarity: list[SimilarityResult] = []
    excess = None
    if "shuffle" in kinds:
        with _progress(config, f"{len(x)} pairs against shuffles") as advance:
            similarity += score_against_null(x, y, metrics, config.null.n, config.seed, advance)
    if "random_pairs" in kinds:
        with _progress(config, f"{len(x)} pairs against random pairs") as advance:
            similarity += _against_random_pairs(config, a, b, x, y, metrics, advance)
    if "rotated" in kinds:
        with _progress(config, f"{len(kept)} correlations against rotated bases") as advance:
            rotated, excess = _against_rotations(config, a, b, kept, advance)
            similarity.append(rotated)
    return Scores(similarity, excess)


def score_subspaces(config: CompareConfig, a: FeatureSpace, b: FeatureSpace, text: TokenText) -> list[ConceptResult]:
    """Both tests of every semantic subspace."""
    concepts = config.concepts.keywords
    keep: Any = config.filters.one_to_one.value if config.filters.one_to_one else "best"
    with Progress(disable=not config.trainer.get("enable_progress_bar", True), transient=True) as progress:
        task = progress.add_task("semantic subspaces", total=len(concepts))
        return score_concepts(
            concepts,
            a,
            b,
            text,
            configured_metrics(config.metrics, config.seed),
            config.concepts.n,
            config.seed,
            config.matching.direction.value,
            keep,
            lambda name: progress.advance(task),
        )


def _scores_on(device: torch.device, n_pairs: int) -> bool:
    """Whether this is a GPU that is worth its while and has the memory."""
    if device.type != "cuda" or n_pairs < _WORTH_GPU:
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return _GPU_BYTES * n_pairs**2 <= free


def _metric(entry: Any, seed: int) -> Metric:
    if isinstance(entry, str):
        try:
            return metric(entry).with_seed(seed)
        except ValueError as error:
            raise UserError("metrics", entry, str(error)) from error
    try:
        made = instantiate(entry)
    except Exception as error:  # whatever a user's own function comes up with
        raise UserError("metrics", entry, f"cannot be made ({first_line(error)})") from error
    if not isinstance(made, Metric):
        raise UserError("metrics", entry, "makes no metric; use analogue.similarity.Metric.from_function")
    return made


def _against_random_pairs(
    config: CompareConfig, a: FeatureSpace, b: FeatureSpace, x: Any, y: Any, metrics: list[Metric], advance: Advance
) -> list[SimilarityResult]:
    live_a, live_b = (Standardised.of(side.acts).live for side in (a, b))
    if len(x) > min(len(live_a), len(live_b)):
        reason = f"{len(x)} pairs are more than a side has features; switch filters.one_to_one on for random pairs"
        refused = partial(SimilarityResult, score=None, n_pairs=len(x), n_null=0, seed=config.seed, reason=reason)
        return [refused(metric=each.name, null="random_pairs") for each in metrics]
    draw = random_pairs(a.decoder, b.decoder, len(x), live_a, live_b)
    return score_against_draws(x, y, metrics, draw, "random_pairs", config.null.n, config.seed, advance)


def _against_rotations(
    config: CompareConfig, a: FeatureSpace, b: FeatureSpace, kept: FeaturePairs, advance: Advance
) -> tuple[SimilarityResult, Float64[np.ndarray, " n_kept"]]:
    if not len(kept):
        reason = "no pairs are left to correlate"
        none = SimilarityResult("mean_correlation", None, 0, 0, config.seed, "rotated", reason=reason)
        return none, np.empty(0)
    a_claims = config.matching.direction.value == "a_to_b"
    claiming, other = (a.acts, b.acts) if a_claims else (b.acts, a.acts)
    features = kept.feature_a if a_claims else kept.feature_b
    found = correlations_against_rotations(
        kept.correlation, features, claiming, other, config.null.n, config.seed, advance
    )
    return found.result, found.excess


@contextmanager
def _progress(config: CompareConfig, told: str) -> Iterator[Advance]:
    with Progress(disable=not config.trainer.get("enable_progress_bar", True), transient=True) as progress:
        task = progress.add_task(told, total=config.null.n)
        yield lambda n_done: progress.update(task, completed=n_done)
