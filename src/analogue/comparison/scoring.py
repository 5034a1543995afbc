"""Steps 4 and 5: scores of the kept pairs, and of semantic subspaces, each tested against its null."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from rich.progress import Progress

from analogue.comparison.sides import OpenSide
from analogue.concepts import ConceptResult, FeatureSpace, TokenText, score_concepts
from analogue.errors import InvalidArgument, shown
from analogue.features import FeatureActivations
from analogue.matching import RULES, FeaturePairs, PairingRule, Standardised, best_partners
from analogue.options import Direction, Keep, NullKind
from analogue.settings import Concepts, Matching, Null
from analogue.significance import (
    PairEvidence,
    SimilarityResult,
    correlations_against_rotations,
    highest_by_partners,
    highest_by_rule,
    highest_by_walk,
    is_worth_walking,
    pair_evidence,
    random_pairs,
    score_against_draws,
    score_against_null,
    score_on_tokens,
)
from analogue.similarity import METRICS, DictionaryConsistency, Metric, dictionary_consistency, metric

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
            bases; None unless the null has the kind `rotated`.
    """

    similarity: list[SimilarityResult]
    excess_correlation: Float64[np.ndarray, " n_kept"] | None = None


def chosen_metrics(metrics: Sequence[str | Metric], seed: int) -> list[Metric]:
    """Metrics, by name or as they are; the random choices of those by name follow from the seed.

    Raises:
        InvalidArgument: there is none, one is unknown, or one is asked for twice.
    """
    if not metrics or isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise InvalidArgument("metrics", metrics, f"must be a list of metrics; choose from {', '.join(METRICS)}")
    chosen = [_metric(each, seed) for each in metrics]
    names = [each.name for each in chosen]
    if len(set(names)) < len(names):
        raise InvalidArgument("metrics", names, "names a metric twice; name each once")
    return chosen


def score_pairs(
    pairs: FeaturePairs,
    a: FeatureSpace,
    b: FeatureSpace,
    metrics: Sequence[str | Metric] = ("svcca", "rsa"),
    null: Null | None = None,
    seed: int = 0,
    direction: str = Direction.a_to_b,
    device: torch.device = CPU,
    progress: bool = False,
) -> Scores:
    """Score the kept pairs' decoder rows with every metric against every null.

    Args:
        pairs: of which the kept ones are scored.
        a: feature space of A.
        b: feature space of B, on the same tokens.
        metrics: names from `analogue.similarity.METRICS`, or metrics.
        null: draws and kinds; None for 100 shuffles.
        seed: of all draws.
        direction: which side has claimed its partners.
        device: a GPU draws the nulls of many pairs.
        progress: whether to show progress bars.

    Raises:
        InvalidArgument: see `chosen_metrics`.
    """
    null, kept = null or Null(), pairs.kept_pairs()
    chosen = chosen_metrics(metrics, seed)
    if _is_worth_gpu(device, len(kept)):
        a, b = (replace(side, decoder=torch.as_tensor(side.decoder, device=device)) for side in (a, b))
    x, y = a.decoder[kept.feature_a], b.decoder[kept.feature_b]
    similarity: list[SimilarityResult] = []
    excess = None
    if NullKind.shuffle in null.kinds:
        with draws_bar(progress, f"{len(x)} pairs against shuffles", null.n) as advance:
            similarity += score_against_null(x, y, chosen, null.n, seed, advance)
    if NullKind.random_pairs in null.kinds:
        with draws_bar(progress, f"{len(x)} pairs against random pairs", null.n) as advance:
            similarity += _against_random_pairs(a, b, x, y, chosen, null.n, seed, advance)
    if NullKind.rotated in null.kinds:
        with draws_bar(progress, f"{len(kept)} correlations against rotated bases", null.n) as advance:
            rotated, excess = _against_rotations(a, b, kept, direction, null.n, seed, advance)
            similarity.append(rotated)
    return Scores(similarity, excess)


def score_activations(
    pairs: FeaturePairs,
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    lengths: Int64[np.ndarray, " n_sequences"],
    metrics: Sequence[str | Metric] = ("svcca", "rsa"),
    null: Null | None = None,
    seed: int = 0,
    progress: bool = False,
) -> list[SimilarityResult]:
    """Score the kept pairs' activations with every metric, tokens as rows; see `score_on_tokens`."""
    null, kept = null or Null(), pairs.kept_pairs()
    chosen = chosen_metrics(metrics, seed)
    with draws_bar(progress, f"activations of {len(kept)} pairs against permuted sequences", null.n) as advance:
        return score_on_tokens(acts_a, acts_b, kept.feature_a, kept.feature_b, chosen, lengths, null.n, seed, advance)


def evidence_for_pairs(
    pairs: FeaturePairs,
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    lengths: Int64[np.ndarray, " n_sequences"],
    rule: PairingRule,
    matching: Matching | None = None,
    null: Null | None = None,
    seed: int = 0,
    progress: bool = False,
) -> PairEvidence:
    """Test every pair, and every feature of both sides, against permuted sequences; see `pair_evidence`.

    Args:
        pairs: as the rule made them.
        acts_a: activations of A.
        acts_b: activations of B on the same units of text.
        lengths: (n_sequences,) units in each sequence.
        rule: the rule with its settings, which this process calls alone: `chosen_rule(..., on_ranks=False)`.
        matching: which rule it is, and which side claims; None for `Matching()`.
        null: draws, and whether features share them; None for `Null()`.
        seed: of the draws.
        progress: whether to show a progress bar.
    """
    matching, null = matching or Matching(), null or Null()
    named = RULES[matching.rule] if isinstance(matching.rule, str) else matching.rule
    walks = named is RULES["max_correlation"] and is_worth_walking(acts_a, acts_b)
    if walks:
        highest = highest_by_walk(acts_a, acts_b)
    elif named is RULES["max_correlation"]:
        find = rule.keywords["find"] if isinstance(rule, partial) else best_partners
        highest = highest_by_partners(acts_a, acts_b, find)
    else:
        highest = highest_by_rule(acts_a, acts_b, rule, matching.direction)
    with draws_bar(progress, f"{len(pairs)} pairs against permuted sequences", null.n) as advance:
        return pair_evidence(
            pairs, acts_a, acts_b, lengths, highest, null.n, seed, matching.direction, null.pooled, walks, advance
        )


def score_dictionaries(a: OpenSide, b: OpenSide, threshold: float, seed: int = 0) -> DictionaryConsistency:
    """How alike the dictionaries of two SAEs of one residual stream are; see `dictionary_consistency`."""
    return dictionary_consistency(a.decoder, b.decoder, a.encoder, b.encoder, threshold, seed)


def check_one_stream(a: OpenSide, b: OpenSide, threshold: float | None) -> None:
    """Raise where dictionaries are to be compared that do not belong to one residual stream.

    Raises:
        InvalidArgument: the SAEs read different models, layers or hooks.
    """
    if threshold is not None and (a.model_identity, a.layer) != (b.model_identity, b.layer):
        places = " and ".join(f"layer {side.layer} of {side.model.name}" for side in (a, b))
        problem = f"compares decoder rows of one residual stream, but these are of {places}"
        fix = "choose two SAEs of one model, layer and hook, or None"
        raise InvalidArgument("consistency_threshold", threshold, f"{problem}; {fix}")


def score_subspaces(
    concepts: Concepts,
    a: FeatureSpace,
    b: FeatureSpace,
    text: TokenText,
    metrics: Sequence[str | Metric] = ("svcca", "rsa"),
    seed: int = 0,
    direction: str = Direction.a_to_b,
    keep: str = Keep.best,
    progress: bool = False,
) -> list[ConceptResult]:
    """Both tests of every semantic subspace; see `analogue.concepts.score_concepts`."""
    chosen = chosen_metrics(metrics, seed)
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("semantic subspaces", total=len(concepts.keywords))
        return score_concepts(
            concepts.keywords,
            a,
            b,
            text,
            chosen,
            concepts.n,
            seed,
            direction,
            keep,
            lambda name: bar.advance(task),
            concepts.fragments,
            concepts.split_at_spaces,
        )


def _is_worth_gpu(device: torch.device, n_pairs: int) -> bool:
    """Whether this is a GPU, with enough to do and enough memory."""
    if device.type != "cuda" or n_pairs < _WORTH_GPU:
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return _GPU_BYTES * n_pairs**2 <= free


def _metric(entry: str | Metric, seed: int) -> Metric:
    if isinstance(entry, Metric):
        return entry
    if not isinstance(entry, str):
        raise InvalidArgument("metrics", shown(entry), "is neither the name of a metric nor a Metric")
    try:
        return metric(entry).with_seed(seed)
    except ValueError as error:
        raise InvalidArgument("metrics", entry, str(error)) from error


def _against_random_pairs(
    a: FeatureSpace, b: FeatureSpace, x: Any, y: Any, metrics: list[Metric], n: int, seed: int, advance: Advance
) -> list[SimilarityResult]:
    live_a, live_b = (Standardised.of(side.acts).live for side in (a, b))
    if len(x) > min(len(live_a), len(live_b)):
        reason = f"{len(x)} pairs are more than a side has features; switch `filters.one_to_one` on for random pairs"
        refused = partial(SimilarityResult, score=None, n_pairs=len(x), n_null=0, seed=seed, reason=reason)
        return [refused(metric=each.name, null=NullKind.random_pairs.value) for each in metrics]
    draw = random_pairs(a.decoder, b.decoder, len(x), live_a, live_b)
    return score_against_draws(x, y, metrics, draw, NullKind.random_pairs.value, n, seed, advance)


def _against_rotations(
    a: FeatureSpace, b: FeatureSpace, kept: FeaturePairs, direction: str, n: int, seed: int, advance: Advance
) -> tuple[SimilarityResult, Float64[np.ndarray, " n_kept"]]:
    if not len(kept):
        reason = "no pairs are left to correlate"
        return SimilarityResult("mean_correlation", None, 0, 0, seed, "rotated", reason=reason), np.empty(0)
    a_claims = direction == Direction.a_to_b
    claiming, other = (a.acts, b.acts) if a_claims else (b.acts, a.acts)
    features = kept.feature_a if a_claims else kept.feature_b
    found = correlations_against_rotations(kept.correlation, features, claiming, other, n, seed, advance)
    return found.result, found.excess


@contextmanager
def draws_bar(is_shown: bool, description: str, total: int) -> Iterator[Advance]:
    """A progress bar over draws, or none."""
    with Progress(disable=not is_shown, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda n_done: progress.update(task, completed=n_done)
