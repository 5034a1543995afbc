import gc
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sae_lens import SAE
from transformers import PreTrainedModel

from analogue.embedded import ASSETS

SELF = ("model_b=stories_6", "sae_b=stories_6", "layer_b=3")


def scores(result):
    return {entry["metric"]: entry["score"] for entry in result.similarity}


def permuted_sae(directory, seed):
    """Layer 3 of stories-6 with its features in another order; returns the order."""
    sae = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    order = torch.randperm(sae.cfg.d_sae, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        sae.W_enc.copy_(sae.W_enc[:, order])
        sae.b_enc.copy_(sae.b_enc[order])
        sae.W_dec.copy_(sae.W_dec[order])
    sae.save_model(directory)
    return order.numpy()


def test_record_and_pairs_tell_the_same_story(compare, tmp_path):
    result = compare()
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    counts = [step["n_pairs"] for step in record["funnel"]]
    assert [step["filter"] for step in record["funnel"]] == [
        "paired",
        "concept_tokens",
        "shared_token",
        "one_to_one",
        "minimum_correlation",
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(pairs) == record["side_a"]["n_live_features"]
    assert counts[-1] == sum(pairs["kept"].to_pylist()) > 50
    assert {entry["n_pairs"] for entry in record["similarity"]} == {counts[-1]}
    kept = pairs.filter(pairs["kept"]).to_pylist()
    assert all(row["correlation"] >= 0.1 for row in kept)
    assert all(set(row["top_tokens_a"]) & set(row["top_tokens_b"]) for row in kept)
    assert len({row["feature_b"] for row in kept}) == len(kept)
    assert result.corpus.n_tokens == 12 * 100
    assert result.side_a.l0 == pytest.approx(16, abs=0.01)
    assert record["config"]["layer_a"] == 3


def test_second_run_needs_no_model_and_gives_the_same_bytes(compare, tmp_path):
    first = compare(f"cache.dir={tmp_path}/cache")
    similarity = json.dumps(first.similarity)
    second = compare(f"cache.dir={tmp_path}/cache")
    assert (first.n_model_passes, second.n_model_passes) == (2, 0)
    assert second.side_a.from_cache
    assert json.dumps(second.similarity) == similarity
    assert json.dumps(compare("seed=1", f"cache.dir={tmp_path}/cache").similarity) != similarity


def test_without_a_store_every_run_passes_over_the_corpus_and_leaves_nothing(compare, activation_cache):
    before = set(activation_cache.iterdir())
    assert [compare("cache=off").n_model_passes for _ in range(2)] == [2, 2]
    assert set(activation_cache.iterdir()) == before


def test_two_layers_of_one_model_share_a_pass(compare):
    assert compare("cache=off", "model_b=stories_6", "sae_b=stories_6", "layer_b=5").n_model_passes == 1


def test_a_space_compared_with_itself_is_the_same_space(compare, tmp_path):
    result = compare("model_b=${model_a}", "sae_b=${sae_a}", "layer_b=3", "filters=none")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    assert pairs["feature_a"].to_pylist() == pairs["feature_b"].to_pylist()
    np.testing.assert_allclose(pairs["correlation"].to_numpy(), 1, atol=1e-12)
    assert len(pairs) == result.side_a.n_live_features == result.n_kept
    for entry in result.similarity:
        assert entry["score"] == pytest.approx(1, abs=1e-9)
        assert entry["p_value"] == pytest.approx(1 / 20)


def test_order_of_features_does_not_matter(compare, tmp_path):
    order = permuted_sae(tmp_path / "sae" / "layer_3", seed=5)
    plain = compare("layer_b=4")
    before = pq.read_table(tmp_path / "run" / "pairs.parquet").to_pylist()
    permuted = compare("layer_b=4", f'sae_a.path="{tmp_path}/sae/layer_{{layer}}"')
    after = pq.read_table(tmp_path / "run" / "pairs.parquet").to_pylist()
    assert permuted.funnel == plain.funnel
    assert scores(permuted) == pytest.approx(scores(plain), abs=1e-9)
    name = {int(feature): position for position, feature in enumerate(order)}
    expected = {(name[row["feature_a"]], row["feature_b"], row["kept"]) for row in before}
    assert {(row["feature_a"], row["feature_b"], row["kept"]) for row in after} == expected


def test_a_permuted_space_is_the_same_space(compare, tmp_path):
    order = permuted_sae(tmp_path / "sae" / "layer_3", seed=6)
    result = compare(*SELF, f"sae_b.path={tmp_path}/sae/layer_3", "filters=none")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    np.testing.assert_array_equal(order[pairs["feature_b"].to_numpy()], pairs["feature_a"].to_numpy())
    assert scores(result) == pytest.approx(dict.fromkeys(scores(result), 1.0), abs=1e-9)


def test_too_few_pairs_are_a_result_with_a_reason(compare):
    result = compare("filters.minimum_correlation=1")
    assert result.n_kept < 3
    assert all(entry["score"] is None and "3 are needed" in entry["reason"] for entry in result.similarity)


def test_the_other_direction_gives_every_live_feature_of_b_a_partner(compare, tmp_path):
    result = compare("matching.direction=b_to_a", "filters=none")
    pairs = pq.read_table(tmp_path / "run" / "pairs.parquet")
    assert len(set(pairs["feature_b"].to_pylist())) == len(pairs) == result.side_b.n_live_features


def test_an_sae_that_explains_little_is_warned_of(compare, tmp_path, capfd):
    sae = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    with torch.no_grad():
        sae.W_dec.copy_(sae.W_dec.flip(0))
    sae.save_model(tmp_path / "sae")
    result = compare(*SELF, f"sae_a.path={tmp_path}/sae")
    assert any("SAE a explains" in warning for warning in result.warnings)
    assert "warning: on the first batch, SAE a explains" in capfd.readouterr().err
    assert not any("SAE b explains" in warning for warning in result.warnings)


def test_first_tokens_can_be_left_out_and_an_sae_trained_without_them_asks_for_it(compare, tmp_path):
    sae = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    sae.cfg.metadata.exclude_bos = True
    sae.save_model(tmp_path / "sae")
    whole, without = (compare(f"sae_a.path={tmp_path}/sae", f"data.exclude_bos={each}") for each in ("false", "true"))
    assert any("data.exclude_bos=true" in warning for warning in whole.warnings)
    assert not any("exclude_bos" in warning for warning in without.warnings)
    assert whole.corpus.n_tokens == 12 * 100
    assert 12 * 97 <= without.corpus.n_tokens <= 12 * 99  # and separators within the text
    assert without.side_a.n_live_features <= whole.side_a.n_live_features
    assert without.similarity != whole.similarity


def test_fewer_sequences_than_asked_for_are_used_and_told(compare, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("Once there was a dog. The dog was red and happy.\n\nThe cat sat in the green garden in May.")
    result = compare(f"data.path={text}", "data.packing=false", "filters=none")
    assert result.corpus.n_sequences == 2
    assert any("holds only 2 sequences" in warning for warning in result.warnings)


def test_models_and_saes_of_a_job_do_not_linger_in_memory(compare):
    def alive():
        return {id(each) for each in gc.get_objects() if issubclass(type(each), PreTrainedModel | SAE)}

    gc.collect()
    before = alive()
    gc.disable()
    try:
        compare("cache=off")
        assert alive() <= before
    finally:
        gc.enable()
