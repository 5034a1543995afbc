"""Exact correlations of listed pairs, and each feature's best of them."""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from analogue.matching.dense.moments import Side, columns
from analogue.matching.dense.stream import Stream
from analogue.matching.operands import DECIMALS
from analogue.matching.partners import BestPartners

# Tokens at a time on a CPU, and elements at a time on another device.
_TOKENS, _ELEMENTS = 64, 2**24


def exact_correlations(
    stream: Stream, a: Side, b: Side, labels_a: Int64[Tensor, " n_pairs"], labels_b: Int64[Tensor, " n_pairs"]
) -> Float64[Tensor, " n_pairs"]:
    """Pearson correlation of each pair of labels in float64, to 12 decimals, in one pass over the tokens.

    Ranks list the same pairs, and get the same correlations.
    """
    total = torch.zeros(len(labels_a), dtype=torch.float64, device=stream.device)
    add = _add_on_cpu if stream.device.type == "cpu" else _add_on_device
    for acts_a, acts_b in stream:
        add(total, columns(acts_a, a.features), columns(acts_b, b.features), a, b, labels_a, labels_b)
    total = stream.ranks.sum(total)
    total /= a.norm[labels_a]
    total /= b.norm[labels_b]
    return total.clamp_(-1, 1).round_(decimals=DECIMALS)


def _add_on_cpu(
    total: Tensor, acts_a: Tensor, acts_b: Tensor, a: Side, b: Side, labels_a: Tensor, labels_b: Tensor
) -> None:
    """Features as rows of a few tokens: a pair's activations then stand side by side, and in the cache."""
    from analogue.matching.dense.kernel import add_products

    pairs = [column.numpy() for column in (labels_a, labels_b, a.mean, b.mean, total)]
    for part_a, part_b in zip(acts_a.split(_TOKENS), acts_b.split(_TOKENS), strict=True):
        add_products(_rows(part_a), _rows(part_b), *pairs)


def _rows(acts: Float[Tensor, "n_tokens d"]) -> Float[np.ndarray, "d n_tokens"]:
    wide = torch.promote_types(acts.dtype, torch.float32)  # float16 and bfloat16 are unknown to the kernel
    return acts.T.to(wide).contiguous().numpy()


def _add_on_device(
    total: Tensor, acts_a: Tensor, acts_b: Tensor, a: Side, b: Side, labels_a: Tensor, labels_b: Tensor
) -> None:
    n_tokens = max(1, _ELEMENTS // max(1, len(total)))
    mean_a, mean_b = a.mean[labels_a], b.mean[labels_b]
    for part_a, part_b in zip(acts_a.split(n_tokens), acts_b.split(n_tokens), strict=True):
        total += (part_a[:, labels_a] - mean_a).mul_(part_b[:, labels_b] - mean_b).sum(0)


def best_of(
    features: Int64[np.ndarray, " n_pairs"],
    partners: Int64[np.ndarray, " n_pairs"],
    correlations: Float64[np.ndarray, " n_pairs"],
    d: int,
    k: int,
) -> BestPartners:
    """The k best of the listed partners of each of d features, ties to the lowest; -1 and NaN where there are fewer."""
    order = np.lexsort((partners, -correlations, features))
    features, partners, correlations = features[order], partners[order], correlations[order]
    place = np.arange(len(features)) - np.searchsorted(features, features)
    kept = place < k
    best = BestPartners(np.full((d, k), -1, dtype=np.int64), np.full((d, k), np.nan))
    best.indices[features[kept], place[kept]] = partners[kept]
    best.correlations[features[kept], place[kept]] = correlations[kept]
    return best
