"""How large the explorer's page is, and how soon it is open: python -m benchmarks.explorer [--dense] [--keep PAGE]

Makes a page of made-up pairs, half of them real ones, and opens it in headless Chromium, which playwright starts. With
`--dense` every feature fires on 60 % of the tokens: a tenth of the features, with a tenth of the room that a page has.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from analogue.comparison import explorer_page as explorer_module
from analogue.comparison.explorer_page import ExploredSide, explorer_page
from analogue.concepts import FeatureSpace
from analogue.corpus import TextUnits
from analogue.features import FeatureActivations, top_tokens
from analogue.matching import BestPartners, best_partners
from analogue.models import PromotedTokens
from analogue.reporting.explorer import save_explorer
from benchmarks.matching_cases import Case
from benchmarks.rules import draw_sides
from tests.results.samples import sample_result

SPARSE, DENSE = Case(30_000, 20_000, 32), Case(2_000, 2_000, 1_200)
D_MODEL, N_LETTERS, SECONDS, MEGABYTES = 64, 26, 3, 30
VOCABULARY = 50_000
SHOWN, DRAWN = "body[data-ready] #pair[data-shown]", "body[data-drawn] #pair[data-shown]"


def main() -> None:
    """Print megabytes and seconds beside what the project allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--keep", type=Path, help="where to leave the page")
    parser.add_argument("--opened", type=int, default=7, help="how often it is opened")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "explorer.html"
        if arguments.dense:
            explorer_module.EXAMPLE_ENTRIES //= 10
            explorer_module.ENTRIES //= 10
        started = time.perf_counter()
        n_pairs = make_page(DENSE if arguments.dense else SPARSE, path)
        made = time.perf_counter() - started
        seconds = np.array([*open_page(path, arguments.opened)])
        megabytes = path.stat().st_size / 1e6
    table = Table(title=f"explorer of {n_pairs} pairs, made in {made:.0f} s", title_justify="left")
    for heading in ("", "measured", "lowest", "highest", "allowed"):
        table.add_column(heading, justify="right")
    table.add_row("page, MB", f"{megabytes:.1f}", "", "", str(MEGABYTES))
    names = ("list and pair, s", "with maps, s", "the browser's CPU time, s")
    for name, column in zip(names, seconds.T, strict=True):
        values = (np.median(column), column.min(), column.max())
        table.add_row(name, *(f"{value:.2f}" for value in values), str(SECONDS))
    Console().print(table)


def make_page(case: Case, path: Path) -> int:
    """Write the page; returns the number of its pairs."""
    rng = np.random.default_rng(0)
    alphabet = np.array([chr(ord("a") + letter) for letter in range(N_LETTERS)])
    strings = [" " + "".join(rng.choice(alphabet, rng.integers(2, 9))) for _ in range(VOCABULARY)]
    ids = np.minimum(rng.zipf(1.3, case.n_tokens), VOCABULARY) - 1
    known = {unit: strings[unit] for unit in np.unique(ids).tolist()}
    units = TextUnits(ids, known, np.full(case.n_tokens // 250, 250))
    acts = draw_dense_sides(case, rng) if case is DENSE else draw_sides(case, rng)
    partners = best_partners(*acts, 5, direction="both")
    a, b = (_side(each, found, ids, strings, rng) for each, found in zip(acts, partners, strict=True))
    feature_a = a.live
    r = partners[0].correlations[feature_a, 0]
    columns = {"feature_a": feature_a, "feature_b": partners[0].indices[feature_a, 0], "correlation": r}
    pairs = pa.table(columns | {"dropped_by": np.where(r < np.median(r), "minimum_correlation", "").tolist()})
    facts = {"concepts": [], "neuronpedia": [None, None], "lens": [None, None]}
    save_explorer(explorer_page(a, b, units, pairs, facts), sample_result(), path)
    return len(pairs)


def draw_dense_sides(case: Case, rng: np.random.Generator) -> list[FeatureActivations]:
    """As `draw_sides`, of features that fire on most tokens."""
    a, other = (rng.standard_normal((case.n_tokens, case.d_sae), dtype=np.float32) for _ in "ab")
    half = case.d_sae // 2
    b = np.concatenate([a[:, :half] + 0.5 * other[:, :half], other[:, half:]], axis=1)
    return [FeatureActivations.from_dense(np.maximum(side + 0.25, 0)) for side in (a, b)]


def _side(
    acts: FeatureActivations, partners: BestPartners, ids: np.ndarray, strings: list[str], rng: np.random.Generator
) -> ExploredSide:
    n_live = np.count_nonzero(acts.n_active())
    values = np.sort(rng.normal(size=(n_live, 10)).astype(np.float32))
    tokens = rng.integers(0, VOCABULARY, (2, n_live, 10))
    lens = PromotedTokens(tokens[0], values[:, ::-1] + 3, tokens[1], values - 3)
    space = FeatureSpace(acts, top_tokens(acts, ids, strings), rng.standard_normal((acts.d_sae, D_MODEL)))
    concepts = np.zeros((0, acts.d_sae), dtype=bool)
    places = rng.standard_normal((n_live, 2)).astype(np.float32)
    return ExploredSide(space, partners, places, concepts, lens, dict(enumerate(strings)))


def open_page(path: Path, n: int) -> list[tuple[float, float, float]]:
    """Of `n` new browsers: seconds until the list and a pair are there, until the maps are, and of CPU time until then.

    The CPU time of all its processes tells on a busy machine what an idle one would take at most.
    """
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    seconds = []
    with sync_playwright() as playwright:
        for _ in range(n):
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            before, started = _cpu_seconds(), time.perf_counter()
            page.goto(path.resolve().as_uri(), wait_until="commit")
            page.wait_for_selector(SHOWN)
            shown = time.perf_counter() - started
            page.wait_for_selector(DRAWN)
            seconds.append((shown, time.perf_counter() - started, _cpu_seconds() - before))
            browser.close()
    return seconds


def _cpu_seconds() -> float:
    """Of all processes that this one has started."""
    used = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in used)


if __name__ == "__main__":
    main()
