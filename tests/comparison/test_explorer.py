"""The explorer's page holds what the comparison found: read back from the page, and compared with its sources."""

import numpy as np
import pytest
import torch

from analogue import Cache, Concepts, Null, Side, Unavailable, compare
from analogue.comparison import collect_activations, open_side, tokenise_corpus
from analogue.comparison.result import Comparison
from analogue.features.examples import shuffled_order
from analogue.settings import Corpus
from tests.explorer_pages import PageData

CORPUS = Corpus("embedded:stories/heldout.parquet", n_sequences=12, seq_len=100, batch_size=5, packing=True)
A = Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_{layer}")
B = Side("embedded:stories-12", 6, "embedded:stories-12-saes/layer_{layer}")
WANTED = {
    "corpus": CORPUS,
    "metrics": ["rsa"],
    "null": Null(n=19, kinds=["shuffle", "permuted_sequences"]),
    "concepts": Concepts({"Articles": ["the", "a"], "Pronouns": ["she", "he"]}, n=19),
    "progress": False,
}

pytest.importorskip("umap")


@pytest.fixture(scope="module")
def explored(tmp_path_factory, activation_cache):
    folder = tmp_path_factory.mktemp("explorer")
    made = compare(A, B, **WANTED, cache=Cache(activation_cache))
    made.explore(folder / "explorer.html", progress=False)
    made.save(folder)
    return made, folder / "explorer.html", PageData(folder / "explorer.html")


@pytest.fixture(scope="module")
def activations(activation_cache):
    a, b = open_side(A, "a"), open_side(B, "b")
    text = tokenise_corpus(CORPUS, a, b)
    collected = collect_activations([a, b], text, cache=Cache(activation_cache))
    dense = {label: collected.activations[label].activations.to_scipy().toarray() for label in "ab"}
    return dense, text.units(a), {"a": a, "b": b}


def test_pairs_are_those_of_the_comparison(explored):
    made, _, page = explored
    pairs = made.pairs
    for side in "ab":
        assert page.index[f"feature_{side}"][page.index[f"pair_{side}"]].tolist() == pairs[f"feature_{side}"].tolist()
        shown = page.index[f"n_active_{side}"][page.index[f"pair_{side}"]]
        assert shown.tolist() == pairs[f"n_active_{side}"].tolist()
    assert page.index["correlation"].tolist() == pairs.correlation.tolist()
    np.testing.assert_array_equal(page.index["q_value"], pairs.q_value.to_numpy())
    np.testing.assert_array_equal(page.index["p_value"], pairs.p_value.to_numpy())
    assert [page.facts["filters"][each] for each in page.index["dropped"]] == pairs.dropped_by.tolist()
    for side in "ab":
        places = page.index[f"top_{side}"][page.index[f"pair_{side}"]]
        shown = [[page.facts["strings"][place] for place in row if place >= 0] for row in places]
        assert shown == [[*tokens] for tokens in pairs[f"top_tokens_{side}"]]
    assert "cosine" not in page.index  # of models of different widths
    assert len(page.text) < 3e6


def test_text_and_activations_are_those_of_the_store(explored, activations):
    _, _, page = explored
    dense, units, _ = activations
    assert [page.facts["strings"][place] for place in page.index["units"]] == [units.strings[u] for u in units.ids]
    assert page.index["lengths"].tolist() == units.lengths.tolist()
    for side in "ab":
        live = np.flatnonzero((dense[side] != 0).any(axis=0))
        assert page.index[f"feature_{side}"].tolist() == live.tolist()
        for row, feature in enumerate(live):
            column, found = dense[side][:, feature], page.details(side, row)
            scale = np.abs(column).max()
            assert page.index[f"scale_{side}"][row] == scale
            tokens, values = [*found["activations"]], [*found["activations"].values()]
            np.testing.assert_allclose(values, column[tokens], atol=scale / 32767 * 1.01)
            firing = np.flatnonzero(column)
            below = firing[shuffled_order(firing) <= found["limit"]]
            assert set(below.tolist()) <= set(tokens)
            assert found["histogram"].sum() == len(firing)
            assert found["range"].tolist() == [min(0, column.min()), max(0, column.max())]


def test_every_feature_has_ten_examples_or_all_that_there_are(explored, activations):
    _, _, page = explored
    dense, units, _ = activations
    ends = np.cumsum(units.lengths)
    for side, other in ("ab", "ba"):
        for row, feature in enumerate(page.index[f"feature_{side}"]):
            column, found = dense[side][:, feature], page.details(side, row)
            examples = found["examples"][found["examples"] >= 0]
            assert len(set(examples.tolist())) == len(examples) >= min(10, np.count_nonzero(column))
            assert column[examples[0]] == column.max()
            assert (np.diff(column[examples]) <= 0).all()
            if np.count_nonzero(column) > 24:
                assert column[examples[-1]] < np.median(column[column > 0])  # not only the highest
            if row % 25:
                continue
            # All that is shown within the examples is there, of the feature and of those that are shown with it.
            shown = [(side, row), *((other, each) for each in found["partners"] if each >= 0)]
            for label, each in shown:
                assert label == side or row in page.details(label, each)["beside"]
                assert page.details(label, each)["reach"] == 20
                values = page.details(label, each)["activations"]
                own = dense[label][:, page.index[f"feature_{label}"][each]]
                for position in examples:
                    sequence = np.searchsorted(ends, position, side="right")
                    first = max(ends[sequence] - units.lengths[sequence], position - 20)
                    window = np.arange(first, min(ends[sequence], position + 21))
                    assert {at for at in window if own[at]} <= values.keys()


def test_partners_are_the_features_that_correlate_most(explored, activations):
    _, _, page = explored
    dense, _, _ = activations
    for side, other in ("ab", "ba"):
        others = dense[other][:, page.index[f"feature_{other}"]]
        for row in range(0, len(page.index[f"feature_{side}"]), 40):
            column = dense[side][:, page.index[f"feature_{side}"][row]]
            r = np.corrcoef(column, others, rowvar=False)[0, 1:]
            found = page.details(side, row)
            np.testing.assert_allclose(found["partner_correlations"], np.sort(r)[::-1][:5], atol=1e-6)
            np.testing.assert_allclose(r[found["partners"]], found["partner_correlations"], atol=1e-6)


def test_promoted_tokens_are_the_model_s_own_logits(explored, activations):
    """Against the names that this architecture gives to its norm and its unembedding."""
    _, _, page = explored
    _, _, sides = activations
    side = sides["a"]
    model = side.model.load(with_head=True).model
    rows = torch.from_numpy(side.decoder[page.index["feature_a"]])
    with torch.no_grad():
        norm = model.get_decoder().final_layer_norm
        scaled = rows / rows.norm(dim=1, keepdim=True) * rows.shape[1] ** 0.5
        logits = model.get_output_embeddings()(norm(scaled) - norm(torch.zeros(1, rows.shape[1])))
    found = [page.details("a", row) for row in range(len(rows))]
    expected = logits.topk(10).values.numpy()
    np.testing.assert_allclose(np.stack([each["raises"] for each in found]), expected, rtol=1e-3, atol=1e-3)
    lowest = logits.topk(10, largest=False).values.numpy()
    np.testing.assert_allclose(np.stack([each["lowers"] for each in found]), lowest, rtol=1e-3, atol=1e-3)
    first = [page.facts["strings"][each["promoted"][0]] for each in found]
    tokens = [side.model.tokenizer.decode([token]) for token in logits.argmax(1)]
    assert sum(token == text for token, text in zip(tokens, first, strict=True)) > 0.95 * len(first)


def test_nearest_features_are_those_of_highest_cosine(explored, activations):
    _, _, page = explored
    _, _, sides = activations
    rows = sides["b"].decoder_rows()[page.index["feature_b"]].astype(np.float64)
    cosines = rows @ rows.T - 3 * np.eye(len(rows))
    for row in range(0, len(rows), 50):
        found = page.details("b", row)
        np.testing.assert_allclose(found["cosines"], np.sort(cosines[row])[::-1][:5], atol=1e-6)
        np.testing.assert_allclose(cosines[row][found["nearest"]], found["cosines"], atol=1e-6)


def test_features_have_their_concepts_and_their_place(explored):
    made, _, page = explored
    assert page.facts["concepts"] == ["Articles", "Pronouns"]
    for number, concept in enumerate(made.record.concepts):
        for side in "ab":
            members = page.index[f"concept_{side}"]
            assert (members[:, 1] == number).sum() == concept[f"n_features_{side}"] > 0
    for side in "ab":
        places = page.index[f"map_{side}"]
        assert places.shape == (len(page.index[f"feature_{side}"]), 2)
        assert np.isfinite(places).all()
        assert places.std(axis=0).min() > 0.1


def test_the_same_run_gives_the_same_bytes(explored, tmp_path):
    made, path, _ = explored
    made.explore(tmp_path / "again.html", progress=False)
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def test_without_a_cache_nothing_is_computed_again(explored, tmp_path, monkeypatch):
    _, path, _ = explored
    made = compare(A, B, **WANTED)
    for name in ("tokenise_corpus", "collect_activations", "without_outliers"):
        monkeypatch.delattr(f"analogue.comparison.explorer.{name}")
    made.explore(tmp_path / "explorer.html", progress=False)
    assert (tmp_path / "explorer.html").read_bytes() == path.read_bytes()


def test_what_cannot_be_explored_is_said_in_a_sentence(explored, tmp_path):
    made, path, _ = explored
    with pytest.raises(Unavailable, match="run `analogue explore` on its folder"):
        Comparison.load(path.parent).explore(tmp_path / "explorer.html")
    with pytest.raises(Unavailable, match="cannot be written"):
        made.explore(tmp_path / "no" / "such" / "explorer.html", progress=False)
