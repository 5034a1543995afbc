"""Which pairs are real? p-values of pairs where the truth is known: `python -m benchmarks.validity_pairs`.

Two studies of the null `permuted_sequences`: p-values of features that share nothing, sparse, bound to positions or
autocorrelated; and precision and recall of q <= 0.05 where it is known what is shared (see `validity_spaces`). A third
table shows what the norms of decoder rows do to scores. Prints the tables, and writes them to docs/validity.md unless
`--quick` is given.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import kstest

from analogue.features import FeatureActivations
from analogue.matching import best_partners, max_correlation, one_to_one, unit_rows
from analogue.significance import correlations_against_rotations, highest_by_walk, pair_evidence
from analogue.similarity import METRICS
from benchmarks.validity_spaces import make_decoders, make_spaces

PAGE = Path(__file__).parent.parent / "docs" / "validity.md"
START, END = (f"<!-- {word} `python -m benchmarks.validity_pairs`. -->\n" for word in ("Written by", "End of"))
N_SEQUENCES, LENGTH, N_FEATURES = 60, 100, 200
N_DRAWS, SMALLEST = 100, 0.001
RESCALED = ("svcca", "rsa", "cka", "procrustes", "mutual_knn")
KINDS = ("sparse", "positional", "autocorrelated")
SHARES, NOISES = tuple(i / 10 for i in range(11)), (0.3, 0.6, 0.8)
N_SEEDS = {0.3: 20, 0.6: 20, 0.8: 200}  # where few pairs are found, a mean over 20 pairs of spaces is noise
NOISIEST = 0.8


class Nothing(NamedTuple):
    """Two spaces that share nothing, or nothing but positions."""

    kind: str
    p_value: dict[bool, np.ndarray]
    """(n_features,) of A's features, by whether draws are pooled."""
    n_active: np.ndarray
    positional: np.ndarray
    """Which features fire by position."""
    n_found: dict[bool, int]
    excess: float
    """The mean excess correlation over rotated bases."""


class Planted(NamedTuple):
    """Precision and recall of the pairs of two spaces that share some of their features."""

    shared: float
    noise: float
    by_threshold: tuple[float, float, int]
    """Correlation of at least 0.1, one-to-one: precision, recall, pairs."""
    by_q_value: tuple[float, float, int]
    """q <= 0.05, then one-to-one."""


def activations(kind: str, r: np.random.Generator) -> tuple[FeatureActivations, np.ndarray]:
    """Features that fire on 0.1 % to 10 % of the tokens, and which of them fire by position."""
    shape = (N_SEQUENCES, LENGTH, N_FEATURES)
    rate = r.permutation(np.geomspace(0.001, 0.1, N_FEATURES))
    positional = np.zeros(N_FEATURES, dtype=bool)
    if kind == "autocorrelated":  # a topic of its own in each sequence, and bursts of about ten tokens within it
        topic = r.gamma(0.5, 2.0, (N_SEQUENCES, 1, N_FEATURES))
        start = np.minimum(1.0, rate * topic / 10)
        on, fires = np.zeros((N_SEQUENCES, N_FEATURES), dtype=bool), np.empty(shape, dtype=bool)
        for t in range(LENGTH):
            on = (on & (r.random(on.shape) < 0.9)) | (r.random(on.shape) < start[:, 0])
            fires[:, t] = on
    else:
        fires = r.random(shape) < rate
        if kind == "positional":  # a fifth fire at positions of their own, in nearly every sequence
            positional = np.arange(N_FEATURES) % 5 == 0
            at = r.random((1, LENGTH, N_FEATURES)) < np.maximum(rate, 1 / LENGTH)
            fires = np.where(positional, at & (r.random(shape) < 0.95), fires)
    values = fires * r.gamma(2.0, 1.0, shape)
    return FeatureActivations.from_dense(values.reshape(-1, N_FEATURES)), positional


def share_nothing(kind: str, seed: int) -> Nothing:
    """p-values of features whose partners are all found by chance."""
    r = np.random.default_rng([seed, KINDS.index(kind)])
    (acts_a, positional), (acts_b, _) = activations(kind, r), activations(kind, r)
    pairs, highest = max_correlation(acts_a, acts_b), highest_by_walk(acts_a, acts_b)
    lengths = np.full(N_SEQUENCES, LENGTH)
    found = {
        pooled: pair_evidence(pairs, acts_a, acts_b, lengths, highest, N_DRAWS, seed, pooled=pooled, threads=False)
        for pooled in (False, True)
    }
    excess = np.nan
    if seed < 10:
        excess = correlations_against_rotations(
            pairs.correlation, pairs.feature_a, acts_a, acts_b, 3, seed
        ).excess.mean()
    p_values = {pooled: each.a.p_value for pooled, each in found.items()}
    n_found = {pooled: each.a.n_beyond(0.05) for pooled, each in found.items()}
    return Nothing(kind, p_values, acts_a.n_active(), positional, n_found, float(excess))


def share_some(shared: float, noise: float, seed: int) -> Planted:
    """Pairs that are kept by their correlation, and by their q-value."""
    spaces = make_spaces(shared, noise, seed)
    acts_a, acts_b = spaces.a.acts, spaces.b.acts
    pairs = max_correlation(acts_a, acts_b, find=lambda *a, **k: best_partners(*a, **k, n_threads=1))
    lengths = np.full(acts_a.n_tokens // LENGTH, LENGTH)
    highest = highest_by_walk(acts_a, acts_b)
    evidence = pair_evidence(pairs, acts_a, acts_b, lengths, highest, N_DRAWS, seed, threads=False)
    kept = []
    for dropped in (pairs.correlation < 0.1, ~(evidence.q_value <= 0.05)):
        left = one_to_one(pairs.drop(dropped, "filter")).kept_pairs()
        n_true = int((spaces.partner[left.feature_a] == left.feature_b).sum())
        n_shared = int((spaces.partner >= 0).sum())
        precision = n_true / len(left) if len(left) else 1.0  # of no pairs, none is wrong
        kept.append((precision, n_true / n_shared if n_shared else np.nan, len(left)))
    return Planted(shared, noise, *kept)


def nothing_table(found: list[Nothing]) -> str:
    """A row for each kind of features and for each kind of p-value."""
    rows = []
    for kind in KINDS:
        of_kind = [each for each in found if each.kind == kind]
        positions = (False, True) if kind == "positional" else (False,)
        for at_positions in positions:
            for pooled in (False, True):
                rows.append(_nothing_row(of_kind, at_positions, pooled))
    headings = ["features of A", "p-values", "KS distance", "KS p-value", "p <= 0.05", "rare, p <= 0.05"]
    headings += ["frequent, p <= 0.05", f"p <= {SMALLEST}", "a feature with q <= 0.05"]
    return _table("p-values of pairs with nothing shared", headings, rows)


def _nothing_row(found: list[Nothing], at_positions: bool, pooled: bool) -> list[str]:
    of = [
        (each, np.flatnonzero((each.positional == at_positions) & np.isfinite(each.p_value[pooled]))) for each in found
    ]
    p = np.concatenate([each.p_value[pooled][features] for each, features in of])
    n_active = np.concatenate([each.n_active[features] for each, features in of])
    rare, frequent = n_active <= np.quantile(n_active, 1 / 3), n_active >= np.quantile(n_active, 2 / 3)
    one = [each.p_value[pooled][features[i % len(features)]] for i, (each, features) in enumerate(of)]
    test = kstest(np.array(one) - (0.5 / (N_DRAWS + 1)), "uniform")
    name = (
        "bound to positions"
        if at_positions
        else f"{found[0].kind}{', the others' if found[0].positional.any() else ''}"
    )
    shares = [f"{(values <= 0.05).mean():.3f}" for values in (p, p[rare], p[frequent])]
    any_found = np.mean([each.n_found[pooled] > 0 for each in found])
    smallest = f"{(p <= SMALLEST).mean():.4f}" if pooled else "-"
    ks = [f"{test.statistic:.3f}", f"{test.pvalue:.2g}"]
    return [name, "pooled" if pooled else "of its own draws", *ks, *shares, smallest, f"{any_found:.3f} of the spaces"]


def planted_table(found: list[Planted]) -> str:
    """A row for each share, and for each noise precision and recall by threshold and by q-value."""
    rows = []
    for shared in SHARES:
        cells = [f"{shared:.1f}"]
        for noise in NOISES:
            cell = [each for each in found if (each.shared, each.noise) == (shared, noise)]
            cells += [_pairing([each.by_threshold for each in cell]), _pairing([each.by_q_value for each in cell])]
        rows.append(cells)
    headings = [text for noise in NOISES for text in (f"noise {noise}: r >= 0.1", "q <= 0.05")]
    return _table("Precision / recall (pairs)", ["shared", *headings], rows)


def noisiest_table(found: list[Planted]) -> str:
    """Precision of q <= 0.05 where few pairs are found: the mean over pairs of spaces, and over all pairs found."""
    rows = []
    for shared in SHARES:
        cell = [each.by_q_value for each in found if (each.shared, each.noise) == (shared, NOISIEST)]
        precision, _, n = (np.array(column) for column in zip(*cell, strict=True))
        error = precision.std(ddof=1) / np.sqrt(len(precision))
        overall = f"{(precision * n).sum() / n.sum():.2f} of {n.sum()}" if n.sum() else "-"
        counts = [f"{(n > 0).mean():.2f}", f"{n.mean():.3g}"]
        rows.append([f"{shared:.1f}", f"{precision.mean():.3f} ± {error:.3f}", overall, *counts])
    headings = ["shared", "mean precision, 1 without a pair", "right of all pairs", "spaces with a pair", "pairs"]
    title = f"q <= 0.05 at noise {NOISIEST} ({len(cell)} pairs of spaces each)"
    return _table(title, headings, rows)


def rescaling_table() -> str:
    """Scores of 150 shared features as they are, with rows of one side rescaled, and with these made unit again."""
    r = np.random.default_rng(0)
    x, y = make_decoders(np.arange(150), 150, 0.3, r)
    scaled = x * np.exp(r.standard_normal((150, 1)))
    sides = {"as they are": x, "rows of A times exp(normal), raw": scaled, "the same, unit": unit_rows(scaled)}
    rows = [[name, *(f"{METRICS[metric](side, y):.3f}" for metric in RESCALED)] for name, side in sides.items()]
    return _table(
        "Scores of 150 shared features, noise 0.3", ["decoder rows", *(f"`{name}`" for name in RESCALED)], rows
    )


def _pairing(found: list[tuple[float, float, int]]) -> str:
    precision, recall, n = (np.array(column) for column in zip(*found, strict=True))
    shown = "-" if np.isnan(recall).all() else f"{np.nanmean(recall):.2f}"
    return f"{precision.mean():.2f} / {shown} ({n.mean():.3g})"


def _table(title: str, headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return f"### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Run both studies, print the tables and write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer of everything, and nothing is written")
    quick = parser.parse_args().quick
    n_replicates, n_seeds = (20, dict.fromkeys(NOISES, 2)) if quick else (500, N_SEEDS)
    start = time.perf_counter()
    cells = [(u, noise, seed) for u in SHARES for noise in NOISES for seed in range(n_seeds[noise])]
    alone = [(kind, seed) for kind in KINDS for seed in range(n_replicates)]
    with ProcessPoolExecutor() as pool:
        nothing = list(pool.map(share_nothing, *zip(*alone, strict=True), chunksize=4))
        planted = list(pool.map(share_some, *zip(*cells, strict=True), chunksize=4))
    excess = {kind: np.nanmean([each.excess for each in nothing if each.kind == kind]) for kind in KINDS}
    described = ", ".join(f"{kind} {value:.3f}" for kind, value in excess.items())
    text = f"{nothing_table(nothing)}\nMean excess correlation over rotated bases, with nothing shared: {described}.\n"
    text += f"\n{planted_table(planted)}\n{noisiest_table(planted)}\n{rescaling_table()}"
    print(text)
    print(f"{time.perf_counter() - start:.0f} s")
    if not quick:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
