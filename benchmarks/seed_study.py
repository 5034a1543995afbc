"""How seeds agree as they train longer: python -m benchmarks.seed_study FOLDER [--figure docs/seed_study.png]

FOLDER/<n_tokens>/ holds, for each length of training, what these two commands leave behind when run in it:
`python train_sae.py experiment=seed_study n_tokens=<n_tokens>` and
`python compare.py experiment=seed_study sweep.dir=sweep`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from analogue.results import ComparisonResult, read_results

WIDTHS = (768, 1536)


def read(folder: Path) -> dict[int, list[ComparisonResult]]:
    """Records by tokens trained on."""
    found = {int(each.name): read_results(each) for each in folder.iterdir() if each.name.isdigit()}
    return {n_tokens: results for n_tokens, results in sorted(found.items()) if results}


def pick(results: list[ComparisonResult], d_sae: int, rule: str) -> ComparisonResult:
    """The filtered comparison from A to B."""
    wanted = [
        result for result in results if (result.side_a.d_sae, result.rule, result.direction) == (d_sae, rule, "a_to_b")
    ]
    return max(wanted, key=lambda result: len(result.funnel))


def score(result: ComparisonResult, metric: str) -> float:
    """Of the paired decoder rows."""
    return next(float(entry["score"]) for entry in result.similarity if entry["metric"] == metric)


MEASURES = {
    "mean correlation of best partners": lambda result: result.correlation["mean_kept"],
    "mean decoder cosine (cosine pairing)": lambda result: result.decoder_cosine["mean_kept"],
    "RSA (cosine pairing)": lambda result: score(result, "rsa"),
    "SVCCA (cosine pairing)": lambda result: score(result, "svcca"),
}


def rows(records: Mapping[int, list[ComparisonResult]], d_sae: int) -> list[list[float]]:
    """A row for each length: every measure."""
    table = []
    for results in records.values():
        by_rule = {rule: pick(results, d_sae, rule) for rule in ("max_correlation", "cosine")}
        chosen = ["max_correlation", "cosine", "cosine", "cosine"]
        table.append([measure(by_rule[rule]) for rule, measure in zip(chosen, MEASURES.values(), strict=True)])
    return table


def draw(records: Mapping[int, list[ComparisonResult]], path: Path) -> None:
    """A panel for each measure, a line for each width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    for number, (name, panel) in enumerate(zip(MEASURES, figure.subplots(2, 2).flat, strict=True)):
        for d_sae, marker in zip(WIDTHS, "os", strict=True):
            values = [row[number] for row in rows(records, d_sae)]
            panel.plot(list(records), values, marker=marker, label=f"d_sae {d_sae}")
        panel.set_xscale("log")
        panel.set_ylim(0, 1)
        panel.set_title(name, loc="left", fontsize=10)
        panel.set_xlabel("tokens trained on")
        panel.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table in Markdown, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    records = read(arguments.folder)
    print("| d_sae | tokens |", " | ".join(MEASURES), "|")
    print("| --- " * (2 + len(MEASURES)) + "|")
    for d_sae in WIDTHS:
        for n_tokens, row in zip(records, rows(records, d_sae), strict=True):
            print(f"| {d_sae} | {n_tokens:,} |", " | ".join(f"{value:.3f}" for value in row), "|")
    if arguments.figure:
        draw(records, arguments.figure)


if __name__ == "__main__":
    main()
