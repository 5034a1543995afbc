"""What the terminal shows, as text."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from analogue.reporting.tables import comparison_tables, concept_notes, concept_tables, sweep_table
from analogue.reporting.transfer import transfer_tables
from tests.results.samples import sample_result, sample_transfer


def text(renderable, width=100):
    file = StringIO()
    Console(width=width, file=file).print(renderable)
    return file.getvalue()


def rows(shown):
    return [line.split() for line in shown.splitlines() if line.strip()]


def test_one_comparison_shows_sides_funnel_scores_and_warnings():
    shown = text(comparison_tables(replace(sample_result(), warnings=["sae_a explains little"])))
    assert "2990 tokens in 10 sequences of stories.jsonl" in shown
    assert "Feature pairs (max_correlation, a_to_b)" in shown
    assert ["│", "shared_token", "│", "20", "│"] in rows(shown)
    assert "svcca   0.5000  shuffle     0.3000   0.0200   0.0100     20" in shown
    assert "nulls of 19 draws" in shown
    assert "! sae_a explains little" in shown


def test_a_score_that_is_not_there_says_why():
    shown = text(comparison_tables(sample_result(score=None)))
    assert "! no score: 2 pairs are left, 3 are needed" in shown
    assert shown.count("no score") == 1  # one reason for both metrics


def test_notes_on_subspaces_that_differ_in_their_numbers_are_told_once_with_ranges():
    def concept(name, n_pairs, reason=None):
        entry = {"warnings": [f"a high floor: {n_pairs} pairs for 2.5 components"], "reason": reason}
        return {"name": name, "similarity": [{"metric": metric, **entry} for metric in ("svcca", "cca")]}

    concepts = [concept("Time", 14), concept("Nature", 5), concept("Biology", 9, "1 of 9 is left")]
    assert concept_notes(replace(sample_result(), concepts=concepts)) == [
        "svcca, cca: a high floor: 5-14 pairs for 2.5 components (Time, Nature, Biology)",
        "svcca, cca: 1 of 9 is left (Biology)",
    ]


def test_a_sweep_is_laid_out_layer_by_layer():
    results = [
        sample_result(2, 10, score=0.25),
        sample_result(1, 3, score=0.75),
        sample_result(1, 10, p_value=0.2),
        sample_result(2, 3, score=None),
    ]
    table = rows(text(sweep_table(results, "svcca")))
    assert table[1] == ["3", "10"]
    assert table[3:] == [["1", "0.75", "0.50?"], ["2", "-", "0.25"]]


def test_a_job_that_is_missing_leaves_its_cell_empty():
    shown = rows(text(sweep_table([sample_result(1, 2), sample_result(3, 4)], "rsa")))
    assert shown[3:] == [["1", "0.25"], ["3", "0.25"]]


def test_subspaces_fit_eighty_columns_with_negative_scores_and_published_numbers():
    def entry(null, null_mean, p_value):
        known = {"score": -0.123, "null_mean": null_mean, "p_value": p_value, "n_null": 1000}
        return known | {"metric": "svcca_cross_validated", "null": null, "warnings": [], "reason": None}

    tests = [entry("shuffle", -0.456, 0.789), entry("random_subset", -0.321, 0.654)]
    counts = {"n_features_a": 12345, "n_features_b": 23456, "n_pairs": 1234}
    concept = {"name": "People/Roles", "similarity": tests, "keyword_counts_a": {}, "keyword_counts_b": {}} | counts
    printed = {"quantity": "svcca_cross_validated", "value": 0.73, "concept": "People/Roles", "source": "Table 1"}
    published = [printed | {"setting": "", "filters": None}]
    for result in (
        replace(sample_result(), concepts=[concept]),
        replace(sample_result(), concepts=[concept], published=published),
    ):
        shown = text(concept_tables(result)[0], width=80)
        for number in ("12345", "23456", "1234", "-0.123", "-0.456", "0.789", "-0.321", "0.654"):
            assert number in shown
        assert max(map(len, shown.splitlines())) <= 80
        if result.published:
            assert "".join(shown.split()).endswith("0.6540.73(Table1)")


def test_features_in_the_other_model_fit_eighty_columns():
    shown = text(comparison_tables(replace(sample_result(), transfer=sample_transfer())), width=80)
    after = shown[shown.index("Maps between the streams") :]
    assert max(map(len, after.splitlines())) <= 80
    rows = [line.split() for line in after.splitlines()]
    assert ["A", "to", "B", "0.700", "0.860", "-0.001", "0.598", "0.843"] in rows
    assert ["A's", "SAE", "on", "B", "variance", "-", "0.693", "0.906", "0.830", "0.987"] in rows
    assert after.count("loss ") == 1  # B's SAE has none on A
    assert ["hard", "negatives", "(190", "pairs)", "0.177", "0.881"] in rows
    assert ["added", "partner", "0.269", "0.475", "0.700", "0.587", "0.025", "0.001"] in rows
    assert ["0.5", "0.100", "0.090", "0.260", "0.470", "0.260", "0.470"] in rows


@pytest.mark.parametrize(("parts", "n"), [("maps", 3), ("interventions", 2), ("all", 5)])
def test_only_what_was_asked_for_is_shown(parts, n):
    assert len(transfer_tables(sample_transfer(parts=parts))) == n
