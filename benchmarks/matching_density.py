"""Where the dense engine overtakes the walk: `python -m benchmarks.matching_density`.

Both pair the same activations, of which a growing share is not zero; each feature of B's first half follows one of A.
Seconds are those of the CPU, of all threads together, so that other work on the machine does not count.
"""

import argparse
import time
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from analogue.features import FeatureActivations
from analogue.matching import best_partners
from analogue.matching.choice import chosen_engine, share_of_products

ACTIVE = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


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


def cpu_seconds(acts: list[FeatureActivations], engine: Literal["walk", "dense"]) -> float:
    """Of one call, on the CPU."""
    start = time.process_time()
    best_partners(*acts, engine=engine, device="cpu")
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-tokens", type=int, default=2000)
    parser.add_argument("--d-sae", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    warm_up = draw(50, 64, 0.3, rng)  # compiles
    cpu_seconds(warm_up, "walk"), cpu_seconds(warm_up, "dense")
    table = Table(title=f"Best partners of {arguments.d_sae:,} features, {arguments.n_tokens:,} tokens, on the CPU")
    for name in ("active", "products", "walk, s", "dense, s", "walk / dense", "auto takes"):
        table.add_column(name, justify="right")
    for active in ACTIVE:
        acts = draw(arguments.n_tokens, arguments.d_sae, active, rng)
        walk, dense = cpu_seconds(acts, "walk"), cpu_seconds(acts, "dense")
        chosen = chosen_engine(*acts, "auto", "cpu")
        numbers = (f"{share_of_products(*acts):.2%}", f"{walk:.1f}", f"{dense:.1f}", f"{walk / dense:.2f}")
        table.add_row(f"{active:.0%}", *numbers, chosen)
    Console().print(table)


if __name__ == "__main__":
    main()
