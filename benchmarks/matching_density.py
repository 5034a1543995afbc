"""Where the dense engine overtakes the walk: `python -m benchmarks.matching_density [--device cuda]`.

Both pair the same activations, of which a growing share is not zero; each feature of B's first half follows one of A. On
the CPU, seconds are those of all threads together, so that other work on the machine does not count.
"""

import argparse
import time

import numpy as np

from analogue.features import FeatureActivations
from analogue.matching import best_partners
from analogue.matching.partners import chosen_engine, share_of_products
from benchmarks.rows import Rows

ACTIVE = {"cpu": (0.05, 0.1, 0.15, 0.2, 0.3, 0.5), "cuda": (0.003, 0.01, 0.03, 0.1, 0.3)}
ENGINES = ("walk", "dense")


def draw(n_tokens: int, d_sae: int, active: float, rng: np.random.Generator) -> list[FeatureActivations]:
    """Both sides, each feature active on this share of the tokens."""
    sides = [
        (rng.random((n_tokens, d_sae), dtype=np.float32) + 0.1)
        * (rng.random((n_tokens, d_sae), dtype=np.float32) < active)
        for _ in range(2)
    ]
    half = d_sae // 2
    sides[1][:, :half] += 0.5 * sides[0][:, :half] * (sides[1][:, :half] > 0)
    return [FeatureActivations.from_dense(side) for side in sides]


def seconds(acts: list[FeatureActivations], engine: str, device: str) -> float:
    """Of one call."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    best_partners(*acts, engine=engine, device=device)
    return clock() - start


def main() -> None:
    """Print a row per density."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=tuple(ACTIVE), default="cpu")
    parser.add_argument("--n-tokens", type=int, default=2000)
    parser.add_argument("--d-sae", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    device = arguments.device
    rng = np.random.default_rng(arguments.seed)
    warm_up = draw(50, 64, 0.3, rng)  # compiles
    for engine in ENGINES:
        seconds(warm_up, engine, device)
    print(f"Best partners of {arguments.d_sae:,} features, {arguments.n_tokens:,} tokens, on {device}")
    rows = Rows("active", "products", *(f"{engine}, s" for engine in ENGINES), "auto takes")
    for active in ACTIVE[device]:
        acts = draw(arguments.n_tokens, arguments.d_sae, active, rng)
        found = (f"{seconds(acts, engine, device):.2f}" for engine in ENGINES)
        rows.add(f"{active:.1%}", f"{share_of_products(*acts):.3%}", *found, chosen_engine(*acts, "auto", device))


if __name__ == "__main__":
    main()
