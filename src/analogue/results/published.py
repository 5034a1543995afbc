"""The numbers that the paper prints, to be set beside ours."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import pyarrow.csv

from analogue.results.record import ComparisonResult, SideRecord

UNFILTERED = "none"
FLOOR = "minimum_correlation"  # a filter of the published code that the paper does not name
TOP_TOKENS = 5
# Of the keyword lists of Table 4, as JSON with sorted keys.
KEYWORDS_SHA256 = "3abbbd31beb9f5ee0185998425a00efa416bdc8bc313dba46c60f012f66e2182"


class Setup(NamedTuple):
    """What one of the paper's comparisons compares; the preset of the same name compares the same."""

    models: tuple[str, str]
    saes: tuple[str, str] | None
    """With `{layer}`; None if the paper's SAEs are not available and users train their own."""
    corpus: tuple[str, int, int]
    """Path, number of sequences, tokens per sequence."""
    direction: str | None = "b_to_a"
    """Which side claims in the published code, where a row names no direction of its own; None for either."""
    one_to_one: str | None = "first"
    """Which claim stays in the published code."""
    minimum_correlation: float | None = 0.1
    """Of the pairs that are scored in the published code; the paper does not name it."""
    non_concept_tokens: frozenset[str] = frozenset({"\n", "\\n", "", " ", ".", ",", "!", "?", "-"})


SETUPS = {
    "pythia_70m_vs_160m": Setup(
        ("EleutherAI/pythia-70m", "EleutherAI/pythia-160m"),
        ("EleutherAI/sae-pythia-70m-32k:layers.{layer}", "EleutherAI/sae-pythia-160m-32k:layers.{layer}"),
        ("Skylion007/openwebtext", 100, 300),
    ),
    "gemma_1_2b_vs_gemma_2_2b": Setup(
        ("google/gemma-2b", "google/gemma-2-2b"),
        (
            "gemma-2b-res-jb:blocks.{layer}.hook_resid_post",
            "gemma-scope-2b-pt-res-canonical:layer_{layer}/width_16k/canonical",
        ),
        ("Skylion007/openwebtext", 150, 150),
    ),
    "llama_3_vs_3_1": Setup(
        ("meta-llama/Meta-Llama-3-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("llama-3-8b-it-res-jh:blocks.{layer}.hook_resid_post", "llama_scope_lxr_8x:l{layer}r_8x"),
        ("Skylion007/openwebtext", 100, 100),
    ),
    "tinystories_seeds": Setup(
        ("roneneldan/TinyStories-1Layer-21M", "roneneldan/TinyStories-1Layer-21M"),
        None,
        ("roneneldan/TinyStories", 500, 128),
        direction=None,
        one_to_one=None,
        minimum_correlation=None,
        non_concept_tokens=frozenset({"."}),
    ),
}


class PublishedScore(NamedTuple):
    """One printed number, and the comparison that it was printed for.

    Source:
        Lan et al. 2024, arXiv 2410.06981. What it calls SVCCA stands here as `svcca_pc1` and its RSA as
        `rsa_correlation`, for that is what its published code computes.
    """

    source: str
    """Where the paper prints it, such as `Table 1`."""
    setting: str
    """What is particular about it, such as `one-to-one`; empty if nothing is."""
    concept: str | None
    """The semantic subspace; None for the whole space."""
    rule: str | None
    """The pairing rule, see `analogue.matching.RULES`; this and the next three are None if the paper names none."""
    direction: str | None
    d_sae: int | None
    filters: list[str] | None
    """Those that the pairs have passed, in their order in the funnel."""
    quantity: str
    """A metric of ours, `n_pairs` (pairs left after filtering) or `mean_cosine`."""
    value: float
    n_pairs: int | None
    null_mean: float | None
    p_value: float | None


def published_for(result: ComparisonResult) -> list[PublishedScore]:
    """What the paper prints for this very comparison, in the paper's order.

    Empty if models, revisions, SAEs, corpus (its split and order, too) or non-concept tokens are not the paper's;
    otherwise the numbers for the same pairing and filters. Where the paper leaves a choice open, its published code
    decides: direction, which claim on a feature stays, and the minimum correlation. Numbers of subspaces stand beside
    the paper's keyword lists, found and paired by the code's rules, alone.
    """
    layers = result.side_a.layer, result.side_b.layer
    return [
        each
        for name, setup in SETUPS.items()
        if _is_of(result, setup)
        for each in published_scores(name, *layers)
        if _is_paired_alike(result, each, setup)
        and (_is_filtered_alike(result, each, setup) if each.concept is None else _has_papers_concepts(result, setup))
    ]


def published_scores(experiment: str, layer_a: int, layer_b: int) -> list[PublishedScore]:
    """Everything that the paper prints for a pair of layers, in its order; empty if it prints nothing.

    Args:
        experiment: name of one of `SETUPS`, such as `pythia_70m_vs_160m`.
        layer_a: block of the preset's first model, counted from 0.
        layer_b: block of its second model.

    Example:
        >>> published_scores("llama_3_vs_3_1", 25, 25)[0].value
        0.3
    """
    return _table().get((experiment, layer_a, layer_b), [])


def _is_of(result: ComparisonResult, setup: Setup) -> bool:
    """Whether models, SAEs, corpus and non-concept tokens are those of a setup."""
    sides, corpus, config = (result.side_a, result.side_b), result.corpus, result.config
    return (
        tuple(side.model for side in sides) == setup.models
        and all(side.revision in (None, "main") for side in sides)
        and not any(config[f"model_{label}"]["randomize"] for label in "ab")
        and _has_saes(sides, setup)
        and (corpus.path, corpus.n_sequences, corpus.seq_len) == setup.corpus
        and corpus.spans is None
        and _reads_as_published(config["data"])
        and config["filters"]["top_tokens"] == TOP_TOKENS
        and config["filters"].get("non_concept", "listed") == "listed"
        and frozenset(config["filters"]["non_concept_tokens"]) == setup.non_concept_tokens
    )


def _reads_as_published(data: Mapping[str, Any]) -> bool:
    """Whether the first documents of the data set are read, one per sequence, and nothing is left out."""
    left_out = (data.get(name) for name in ("packing", "chat", "exclude_bos", "exclude_special", "exclude_outliers"))
    return not any(left_out) and data.get("split") == "train" and data.get("shuffle_seed", 0) is None


def _has_papers_concepts(result: ComparisonResult, setup: Setup) -> bool:
    """Whether subspaces are of the paper's keywords, found as whole words and paired as in the published code."""
    asked, paired = result.config.get("concepts", {}), result.concept_pairing or {}
    keywords = json.dumps(asked.get("keywords"), sort_keys=True).encode()
    is_found_alike = not asked.get("fragments", True) and asked.get("split_at_spaces", False)
    is_paired_alike = paired.get("one_to_one") == setup.one_to_one
    return is_found_alike and is_paired_alike and hashlib.sha256(keywords).hexdigest() == KEYWORDS_SHA256


def _has_saes(sides: tuple[SideRecord, SideRecord], setup: Setup) -> bool:
    saes = tuple(side.sae for side in sides)
    if setup.saes is None:
        return saes[0] != saes[1]
    return saes == tuple(sae.replace("{layer}", str(side.layer)) for sae, side in zip(setup.saes, sides, strict=True))


def _is_paired_alike(result: ComparisonResult, printed: PublishedScore, setup: Setup) -> bool:
    widths = {result.side_a.d_sae, result.side_b.d_sae}
    return (
        printed.rule in (None, result.rule)
        and (printed.direction or setup.direction) in (None, result.direction)
        and (printed.d_sae is None or widths == {printed.d_sae})
    )


def _is_filtered_alike(result: ComparisonResult, printed: PublishedScore, setup: Setup) -> bool:
    """A count is of the pairs at its place in the funnel, a score of those that all filters leave."""
    if printed.filters is None:
        return True
    used, settings = [step["filter"] for step in result.funnel[1:]], result.config["filters"]
    if "one_to_one" in printed.filters and settings["one_to_one"] != setup.one_to_one:
        return False
    if printed.quantity == "n_pairs":
        return used[: len(printed.filters)] == printed.filters
    has_floor = settings["minimum_correlation"] == setup.minimum_correlation
    return has_floor and [name for name in used if name != FLOOR] == printed.filters


@cache
def _table() -> dict[tuple[str, int, int], list[PublishedScore]]:
    table: dict[tuple[str, int, int], list[PublishedScore]] = {}
    empty_is_none = pyarrow.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
    with files("analogue.results").joinpath("published.csv").open("rb") as file:
        rows = pyarrow.csv.read_csv(file, convert_options=empty_is_none).to_pylist()
    for row in rows:
        place = row.pop("experiment"), row.pop("layer_a"), row.pop("layer_b")
        if row["filters"] is not None:
            row["filters"] = [name for name in row["filters"].split("+") if name != UNFILTERED]
        table.setdefault(place, []).append(PublishedScore(**row | {"setting": row["setting"] or ""}))
    return table
