import pytest

from analogue.reporting.published import published_scores

PYTHIA, GEMMA = "pythia_70m_vs_160m", "gemma_1_2b_vs_gemma_2_2b"


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
    assert [row.value for row in published_scores("llama_3_vs_3_1", 25, 25)] == [0.3]
    assert len(published_scores("tinystories_seeds", 0, 0)) == 11


@pytest.mark.parametrize("job", [(PYTHIA, 0, 0), ("no_such_experiment", 3, 5)])
def test_what_is_not_printed_is_an_empty_list(job):
    assert published_scores(*job) == []
