"""Pairs against permuted sequences: seconds of all draws, and of the same by a pairing per draw, in one run.

The pairing per draw is `best_partners` in both directions on permuted activations, and the plain dense method of the
published code, scaled (see `matching_cases`); a few of its draws are timed, and scaled to as many. Run it with
`python -m benchmarks.pair_evidence`.
"""

import argparse

import numpy as np

from analogue.matching import best_partners, max_correlation
from analogue.significance import highest_by_walk, pair_evidence, permuted_tokens
from benchmarks.clock import now
from benchmarks.matching_cases import Case, draw_activations, plain_dense_seconds
from benchmarks.rows import Rows

CASES = (Case(30_000, 1024, 16), Case(30_000, 32_768, 32))
LENGTH, N_TIMED = 300, 3


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    n = parser.parse_args().draws
    table = Rows("tokens", "d_sae", "L0", f"{n} draws", "a pairing per draw", "ratio", "plain dense", "ratio", "same")
    for case in CASES:
        rng = np.random.default_rng(0)
        acts_a, acts_b = draw_activations(case, rng), draw_activations(case, rng)
        lengths = np.full(case.n_tokens // LENGTH, LENGTH)
        pairs = max_correlation(acts_a, acts_b)
        pair_evidence(pairs, acts_a, acts_b, lengths, highest_by_walk(acts_a, acts_b), 1, 0)  # compiles
        start = now()
        pair_evidence(pairs, acts_a, acts_b, lengths, highest_by_walk(acts_a, acts_b), n, 0)
        seconds = now() - start
        start = now()
        for i in range(N_TIMED):
            order = permuted_tokens(lengths, np.random.default_rng([0, i]))
            permuted = acts_b.at_tokens(order)
            forward, _ = best_partners(acts_a, permuted, direction="both")
        each = (now() - start) / N_TIMED * n
        found, _ = highest_by_walk(acts_a, acts_b)(order)
        is_same = np.nanmax(np.abs(found - forward.correlations[:, 0])) < 1e-9
        dense = plain_dense_seconds(case, rng) * n
        numbers = (f"{value:.1f} s" for value in (seconds, each))
        ratios = f"{each / seconds:.1f}x", f"{dense / 60:.0f} min", f"{dense / seconds:.0f}x"
        table.add(str(case.n_tokens), str(case.d_sae), str(case.l0), *numbers, *ratios, str(is_same))


if __name__ == "__main__":
    main()
