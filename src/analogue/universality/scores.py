"""Every two spaces: how alike the decoder rows of their linked features are, and their dictionaries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analogue.comparison import OpenSide, describe_features, score_dictionaries, score_pairs
from analogue.corpus import TextUnits
from analogue.features import FeatureActivations
from analogue.matching import FeaturePairs, Standardised
from analogue.matching.pairs import as_pairs
from analogue.options import Direction
from analogue.settings import Null
from analogue.significance import SimilarityResult
from analogue.similarity import Metric
from analogue.similarity.dictionaries import THRESHOLD
from analogue.universality.links import Links

WIDEST = 4096  # rows of dictionaries whose assignment takes seconds
N_TOP = 5


@dataclass(frozen=True)
class Between:
    """Two spaces.

    Attributes:
        n_linked: features that are each other's best partner beyond chance.
        shares: n_linked as a share of the live features of the one space, and of the other.
        correlation: mean of the linked; NaN for none.
        similarity: scores of the linked features' decoder rows.
        pw_mcc: of the dictionaries; None unless both are of one residual stream and at most 4,096 rows.
        pw_mcc_floor: the same of random rows.
    """

    n_linked: int
    shares: tuple[float, float]
    correlation: float
    similarity: list[SimilarityResult]
    pw_mcc: float | None = None
    pw_mcc_floor: float | None = None


def between_spaces(
    sides: Sequence[OpenSide],
    acts: Sequence[FeatureActivations],
    units: TextUnits,
    links: Mapping[tuple[int, int], Links],
    metrics: Sequence[Metric],
    null: Null,
    seed: int,
    progress: bool,
) -> dict[tuple[int, int], Between]:
    """Score every two spaces; see `Between`."""
    spaces = [describe_features(side, each, units, N_TOP) for side, each in zip(sides, acts, strict=True)]
    n_live = [len(Standardised.of(each).live) for each in acts]
    found = {}
    for (s, t), of_pair in links.items():
        pairs = _as_pairs(of_pair.strong(), acts[s], acts[t])
        scored = score_pairs(pairs, spaces[s], spaces[t], metrics, Null(n=null.n), seed) if len(pairs) else None
        shares = len(pairs) / max(1, n_live[s]), len(pairs) / max(1, n_live[t])
        mean = float(pairs.correlation.mean()) if len(pairs) else float("nan")
        dictionaries = _dictionaries(sides[s], sides[t], seed)
        found[s, t] = Between(len(pairs), shares, mean, scored.similarity if scored else [], **dictionaries)
    return found


def _as_pairs(links: Links, acts_a: FeatureActivations, acts_b: FeatureActivations) -> FeaturePairs:
    counts = acts_a.n_active(), acts_b.n_active()
    return as_pairs(links.feature_a, links.feature_b, links.correlation, *counts, Direction.a_to_b)


def _dictionaries(a: OpenSide, b: OpenSide, seed: int) -> dict[str, Any]:
    if (a.model_identity, a.layer) != (b.model_identity, b.layer) or max(a.d_sae, b.d_sae) > WIDEST:
        return {}
    consistency = score_dictionaries(a, b, THRESHOLD, seed)
    return {"pw_mcc": consistency.pw_mcc, "pw_mcc_floor": consistency.floor["pw_mcc"]}
