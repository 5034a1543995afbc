"""Which engine finds best partners soonest, by how many of the products of two activations are not zero."""

from typing import Literal

import numpy as np
import torch

from analogue.cores import usable_cores
from analogue.features import FeatureActivations

Engine = Literal["auto", "walk", "tiles", "dense"]
ENGINES = ("auto", "walk", "tiles", "dense")
# A product of the walk costs as much as this many dense ones; so does one of the tiles on a CUDA device. The dense
# engine overtakes the one where both sides' features fire on a fifth of the tokens, the other where they do on 0.7 %
# (docs/performance.md: `python -m benchmarks.matching_density`).
SPARSE_PRODUCT_CPU, SPARSE_PRODUCT_DEVICE = 25, 20_000
# On so many cores the walk takes as long as the tiles on a GPU.
CORES_OF_A_DEVICE = 8


def default_device() -> str:
    """The current CUDA device, or the CPU if there is none."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen_engine(
    acts_a: FeatureActivations,
    acts_b: FeatureActivations,
    engine: Engine,
    device: str | None,
    n_threads: int | None = None,
) -> Literal["walk", "tiles", "dense"]:
    """What "auto" stands for: the dense engine for dense activations, else the walk, or tiles where cores are few.

    Whether it is the dense engine, which shares features out otherwise, depends on the activations of both whole sides
    and the kind of device alone: ranks that pair shares of them agree.

    Raises:
        ValueError: the engine is none of the four.
    """
    if engine not in ENGINES:
        raise ValueError(f"expected engine {', '.join(map(repr, ENGINES))}, got {engine!r}")
    if engine != "auto":
        return engine
    on_cpu = torch.device(device or default_device()).type == "cpu"
    if share_of_products(acts_a, acts_b) * (SPARSE_PRODUCT_CPU if on_cpu else SPARSE_PRODUCT_DEVICE) > 1:
        return "dense"
    return "walk" if on_cpu or (n_threads or usable_cores()) >= CORES_OF_A_DEVICE else "tiles"


def share_of_products(acts_a: FeatureActivations, acts_b: FeatureActivations) -> float:
    """Of the products a[t, i] * b[t, j] of features that ever fire, over all tokens t, the share that is not zero."""
    n_live = [float(np.count_nonzero(acts.n_active())) for acts in (acts_a, acts_b)]
    n_products = float(np.diff(acts_a.indptr) @ np.diff(acts_b.indptr))
    return n_products / (n_live[0] * n_live[1] * acts_a.n_tokens) if n_products else 0.0
