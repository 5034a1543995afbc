"""Time and memory of pairing rules, of pairing small subsets, and of a rotation: `python -m benchmarks.rules`.

The sides share half of their features; feature frequencies follow rank^-0.7. Memory is what a call adds to the process
at its peak (Linux only).
"""

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.sparse import csr_array, hstack

from analogue.features import FeatureActivations
from analogue.matching import RULES, SubsetCorrelations, best_partners, max_correlation
from analogue.significance import correlations_against_rotations
from benchmarks.matching import Measured, measure
from benchmarks.matching_cases import Case, draw_activations
from benchmarks.rows import Rows

D_MODEL = 512
SUBSETS = (50, 300)
ROTATED = Case(30_000, 1024, 32)


def draw_sides(case: Case, rng: np.random.Generator) -> tuple[FeatureActivations, FeatureActivations]:
    """Two sides whose first features, half of all, are the same up to noise; the others are independent."""
    a, others = (draw_activations(case, rng).to_scipy() for _ in "ab")
    shared = csr_array(a[:, : case.d_sae // 2])
    shared.data = (shared.data * rng.uniform(0.5, 1.5, shared.nnz)).astype(np.float32)
    b = hstack([shared, others[:, case.d_sae // 2 :]], format="csr")
    return FeatureActivations.from_scipy(a), FeatureActivations.from_scipy(b)


Row = tuple[str, Measured]


def measure_rules(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """Every one-to-one rule, and the cosine of decoder rows."""
    a, b = draw_sides(case, rng)
    decoders = {f"decoder_{side}": rng.standard_normal((case.d_sae, D_MODEL)) for side in "ab"}
    for name in ("mutual", "greedy", "hungarian", "optimal_transport", "cosine"):
        settings = decoders if name == "cosine" else {}
        yield name, measure(partial(RULES[name], a, b, **settings), repeats=1)


def measure_subsets(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """Pairing a random subset with the prepared correlations, and with `best_partners`."""
    a, b = draw_sides(case, rng)
    prepared = SubsetCorrelations(a, b)
    for n in SUBSETS:
        subsets = [np.sort(rng.choice(case.d_sae, n, replace=False)) for _ in "ab"]
        yield f"subset of {n}", measure(partial(prepared.max_correlation, *subsets), repeats=20)
        plain = partial(best_partners, a, b, subset_a=subsets[0], subset_b=subsets[1])
        yield f"subset of {n}, best_partners", measure(plain, repeats=20)


def measure_rotation(rng: np.random.Generator) -> Iterator[Row]:
    """What a null of one rotation takes, preparation included, and what each further rotation adds."""
    a, b = draw_sides(ROTATED, rng)
    pairs = max_correlation(a, b)
    null = partial(correlations_against_rotations, pairs.correlation, pairs.feature_a, a, b, seed=0)
    first, ten = (measure(partial(null, n=n), repeats=1) for n in (1, 11))
    yield "one rotation", first
    yield "a further one", Measured((ten.seconds - first.seconds) / 10, ten.peak_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-tokens", type=int, default=30_000)
    parser.add_argument("--d-sae", type=int, default=32_768)
    parser.add_argument("--l0", type=int, default=32)
    arguments = parser.parse_args()
    case, rng = Case(arguments.n_tokens, arguments.d_sae, arguments.l0), np.random.default_rng(0)
    print(f"{case}; rotations: {ROTATED}")
    rows = Rows("seconds", "peak GB", "call".rjust(30))
    for measured in (measure_rules(case, rng), measure_subsets(case, rng), measure_rotation(rng)):
        for name, (seconds, peak) in measured:
            rows.add(f"{seconds:.4f}", "" if peak is None else f"{peak / 1e9:.2f}", name)


if __name__ == "__main__":
    main()
