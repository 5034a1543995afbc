"""The paper's numbers: as printed, and beside the comparisons that they were printed for."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from analogue.cli.composition import plain
from analogue.cli.conf import COMPARE
from analogue.reporting.tables import comparison_tables
from analogue.results.published import SETUPS, published_for, published_scores
from tests.results.samples import sample_result

PYTHIA, GEMMA, LLAMA, TINYSTORIES = (
    "pythia_70m_vs_160m",
    "gemma_1_2b_vs_gemma_2_2b",
    "llama_3_vs_3_1",
    "tinystories_seeds",
)
FUNNEL = ("concept_tokens", "shared_token", "one_to_one", "minimum_correlation")


@pytest.mark.parametrize(
    ("experiment", "concept", "quantity", "printed"),
    [
        (PYTHIA, "Emotions", "svcca_pc1", (0.83, 24, 0.15, 0.0)),
        (PYTHIA, "MonthNames", "rsa_correlation", (0.76, 32, 0.0, 0.0)),
        (GEMMA, "Countries", "svcca_pc1", (0.39, 21, 0.17, 0.07)),
    ],
)
def test_semantic_subspaces_are_as_printed(experiment, concept, quantity, printed):
    layers = (3, 5) if experiment == PYTHIA else (12, 14)
    rows = [row for row in published_scores(experiment, *layers) if (row.concept, row.quantity) == (concept, quantity)]
    assert [(row.value, row.n_pairs, row.null_mean, row.p_value) for row in rows] == [printed]


def test_whole_spaces_have_their_numbers_of_pairs():
    rows = {row.source: row.value for row in published_scores(GEMMA, 12, 2) if row.concept is None}
    assert rows == {"Table 7": 8647, "Table 8": 3829}


@pytest.mark.parametrize(
    ("experiment", "layers_a", "layers_b"),
    [(PYTHIA, range(1, 6), range(1, 12)), (GEMMA, (6, 10, 12, 17), range(2, 23, 4))],
)
def test_every_cell_of_the_papers_grid_is_there(experiment, layers_a, layers_b):
    for layer_a in layers_a:
        for layer_b in layers_b:
            assert len([row for row in published_scores(experiment, layer_a, layer_b) if row.concept is None]) == 2


def test_the_appendices_are_there():
    assert [row.value for row in published_scores(LLAMA, 25, 25)] == [0.3]
    assert len(published_scores(TINYSTORIES, 0, 0)) == 11


@pytest.mark.parametrize("job", [(PYTHIA, 0, 0), ("no_such_experiment", 3, 5)])
def test_what_is_not_printed_is_an_empty_list(job):
    assert published_scores(*job) == []


def of_preset(
    experiment, filters=FUNNEL, n_sequences=None, d_sae=32768, rule="max_correlation", direction="b_to_a", **changes
):
    """The record of a preset's comparison as the published code makes it; `changes` are of both sides."""
    config = COMPARE.compose(f"experiment={experiment}", "protocol=published")
    result = sample_result(
        config.layer_a,
        config.layer_b,
        filters=dict(config.filters),
        data=dict(config.data),
        concepts=plain(COMPARE.compose("concepts=paper", "protocol=published").concepts),
        model_a={"randomize": None},
        model_b={"randomize": None},
    )
    sides = {
        f"side_{label}": replace(
            getattr(result, f"side_{label}"),
            **{
                "model": config[f"model_{label}"].name,
                "revision": config[f"model_{label}"].revision,
                "sae": config[f"sae_{label}"].path.replace("{layer}", str(config[f"layer_{label}"])),
                "d_sae": d_sae,
            }
            | changes,
        )
        for label in "ab"
    }
    data = config.data
    corpus = replace(result.corpus, path=data.path, n_sequences=n_sequences or data.n_sequences, seq_len=data.seq_len)
    funnel = [{"filter": name, "n_pairs": 9} for name in ("paired", *filters)]
    pairing = {"rule": "max_correlation", "one_to_one": "first", "filters": []}
    result = replace(result, concept_pairing=pairing, rule=rule, direction=direction)
    return replace(result, **sides, corpus=corpus, funnel=funnel)


def test_a_preset_is_the_papers_comparison():
    assert set(SETUPS) == {PYTHIA, GEMMA, LLAMA, TINYSTORIES}
    assert len(published_for(of_preset(PYTHIA))) == len(published_scores(PYTHIA, 3, 5))
    assert len(published_for(of_preset(GEMMA))) == len(published_scores(GEMMA, 12, 14))
    assert [row.value for row in published_for(of_preset(LLAMA))] == [0.3]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "EleutherAI/pythia-70m-deduped"},
        {"revision": "step1000"},
        {"sae": "my_saes/layer_3"},
        {"n_sequences": 10},
    ],
)
def test_another_comparison_has_no_published_numbers(change):
    assert published_for(of_preset(PYTHIA, **change)) == []


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("model_b", {"randomize": "weights"}),
        ("data", {"packing": True}),
        ("data", {"exclude_bos": True}),
        ("filters", {"non_concept_tokens": ["."]}),
        ("filters", {"top_tokens": 10}),
        ("data", {"shuffle_seed": 0}),
        ("data", {"split": "test"}),
        ("data", {"exclude_outliers": 10.0}),
    ],
)
def test_another_configuration_has_no_published_numbers(key, change):
    result = of_preset(PYTHIA)
    changed = result.config | {key: result.config[key] | change}
    assert published_for(result)
    assert published_for(replace(result, config=changed)) == []


@pytest.mark.parametrize(
    "change",
    [{"fragments": True}, {"split_at_spaces": False}, {"keywords": {"Time": ["day"]}}, {"keywords": {}}],
    ids=["parts", "punctuation", "other", "none"],
)
def test_other_concepts_have_no_published_numbers(change):
    result = of_preset(PYTHIA)
    changed = result.config | {"concepts": result.config["concepts"] | change}
    printed = published_for(replace(result, config=changed))
    assert printed == [row for row in published_for(result) if row.concept is None]
    assert 0 < len(printed) < len(published_for(result))


def test_another_choice_where_the_paper_leaves_one_has_no_published_numbers():
    result = of_preset(PYTHIA)
    assert published_for(replace(result, direction="a_to_b")) == []
    assert [row.quantity for row in published_for(result) if row.concept is None] == ["n_pairs", "n_pairs"]
    best = result.config | {"filters": result.config["filters"] | {"one_to_one": "best"}}
    counts = [row.source for row in published_for(replace(result, config=best)) if row.concept is None]
    assert counts == ["Table 5"]  # before one feature's claims are told apart
    subspaces = replace(result, concept_pairing=result.concept_pairing | {"one_to_one": "best"})
    assert {row.concept for row in published_for(subspaces)} == {None}
    llama = of_preset(LLAMA)
    none = llama.config | {"filters": llama.config["filters"] | {"minimum_correlation": 0.2}}
    assert published_for(replace(llama, config=none)) == []


def test_another_corpus_has_no_published_numbers():
    result = of_preset(PYTHIA)
    assert published_for(replace(result, corpus=replace(result.corpus, path="my.jsonl"))) == []


@pytest.mark.parametrize(
    ("rule", "direction", "filters", "d_sae", "values"),
    [
        ("max_correlation", "b_to_a", [], 16384, [0.73, 0.004]),
        ("max_correlation", "b_to_a", ["concept_tokens"], 16384, [0.94, 0.004]),
        ("max_correlation", "a_to_b", [], 16384, [0.8, 0.004]),
        ("max_correlation", "a_to_b", ["concept_tokens"], 8192, [0.94]),
        ("max_correlation", "a_to_b", [], 8192, [0.87]),
        ("cosine", "a_to_b", [], 16384, [0.9, 0.92]),
        ("cosine", "b_to_a", ["concept_tokens"], 16384, []),
        ("cosine", "a_to_b", [], 8192, []),
        ("mutual", "a_to_b", [], 16384, []),
        ("max_correlation", "b_to_a", ["concept_tokens"], 4096, []),
        ("max_correlation", "b_to_a", ["concept_tokens", "one_to_one"], 8192, []),
    ],
)
def test_the_seeds_are_selected_by_pairing_filters_and_width(rule, direction, filters, d_sae, values):
    result = of_preset(TINYSTORIES, filters=filters, d_sae=d_sae, rule=rule, direction=direction)
    assert [row.value for row in published_for(result)] == values


def test_one_sae_compared_with_itself_is_no_seed_study():
    assert published_for(of_preset(TINYSTORIES, filters=[], d_sae=16384, sae="saes/seed_0")) == []


def shown(result):
    file = StringIO()
    Console(width=120, file=file).print(comparison_tables(result))
    return [line.strip("│ ").replace("│", " ").split() for line in file.getvalue().splitlines()]


def test_the_terminal_shows_the_papers_numbers_of_pairs_in_the_funnel():
    result = of_preset(PYTHIA)
    result = replace(result, published=[row._asdict() for row in published_for(result)])
    rows = {row[0]: row[1:] for row in shown(result) if row}
    assert rows["paired"] == ["9"]
    assert rows["shared_token"] == ["9", "8170", "(Table", "5,", "after", "concept", "filters)"]
    assert rows["one_to_one"][1:3] == ["4796", "(Table"]


@pytest.mark.parametrize(("filters", "n_pairs"), [([], ["9", "9930"]), (["concept_tokens"], ["9"])])
def test_the_terminal_shows_how_many_pairs_a_printed_score_is_of(filters, n_pairs):
    result = of_preset(TINYSTORIES, filters=filters, d_sae=16384)
    result = replace(result, published=[row._asdict() for row in published_for(result)])
    rows = {row[0]: row[1:] for row in shown(result) if row}
    assert rows["paired"][:2] == n_pairs


@pytest.mark.parametrize("filters", [("concept_tokens",), ("minimum_firing_count", *FUNNEL)])
def test_pairs_that_passed_other_filters_have_no_published_count(filters):
    assert [row for row in published_for(of_preset(PYTHIA, filters=filters)) if row.concept is None] == []
