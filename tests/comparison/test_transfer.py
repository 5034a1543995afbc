"""Whether features can be used in the other model, on models of which it is known."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

import analogue
from analogue.comparison import open_side, tokenise_corpus
from analogue.comparison.interventions import (
    NO_FEATURE,
    ChosenPairs,
    Laboratory,
    ablation_effects,
    steering_effects,
)
from analogue.comparison.transfer_metrics import StreamedMoments
from analogue.comparison.transfer_passes import SideModels
from analogue.corpus import read_texts
from analogue.embedded import ASSETS
from analogue.features import FeatureActivations
from analogue.results import ComparisonResult, flatten
from analogue.settings import STORIES, Transfer
from analogue.transfer import AffineMap, firing_contexts, paired_moments, silent_contexts
from tests.processes import COMPARE, run, run_ranks

SMALL = {"n_sequences": 12, "seq_len": 100, "null": analogue.Null(n=19), "metrics": ["rsa"], "device": "cpu"}
SMALL |= {"progress": False, "fit_sequences": 30, "loss_sequences": 2, "n_contexts": 8}
A = analogue.Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}")
B = analogue.Side(model="embedded:stories-12", layer=6, sae="embedded:stories-12-saes/layer_{layer}")


@pytest.fixture(scope="module")
def pair():
    return analogue.transfer(A, B, **SMALL)


@pytest.fixture(scope="module")
def itself():
    return analogue.transfer(A, A, **SMALL)


def test_a_model_can_use_its_own_features(itself):
    found = itself.record.transfer
    for way in ("a_to_b", "b_to_a"):
        assert found["maps"][way]["explained_variance"] == pytest.approx(1, abs=1e-6)
        assert found["maps"][way]["round_trip"] == pytest.approx(1, abs=1e-6)
        assert abs(found["maps"][way]["shuffled"]) < 0.1
        assert found["rotations"][way] == pytest.approx({"explained_variance": 1, "round_trip": 1}, abs=1e-6)
    for name in ("a_on_b", "b_on_a"):
        dictionary = found["dictionaries"][name]
        assert dictionary["raw"] == dictionary["own"]
        assert dictionary["mapped"] == pytest.approx(dictionary["own"], abs=1e-5)
        assert dictionary["ceiling"] == pytest.approx(1, abs=1e-6)
        loss = dictionary["cross_entropy_recovered"]
        assert loss["raw"] == pytest.approx(loss["own"], abs=1e-6)
        assert loss["mapped"] == pytest.approx(loss["own"], abs=1e-4)
        assert found["features_abroad"][name] == pytest.approx({"alive": 1, "correlation": 1}, abs=1e-3)
    assert found["features"]["cosine"] == pytest.approx(1, abs=1e-6)
    assert found["features"]["top_1"] == 1
    for kind in ("steering", "ablation"):
        for arm in ("partner", "mapped"):
            scores = found["interventions"][kind][arm]
            assert (scores["top_1"], scores["top_5"], scores["mean_reciprocal_rank"]) == (1, 1, 1)
            assert scores["correlation"] == pytest.approx(1, abs=1e-4)
            assert scores["p_value"] == 1 / 1001


def test_the_record_has_the_names_that_are_promised(pair):
    found = pair.record.transfer
    for way in ("a_to_b", "b_to_a"):
        assert {*found["maps"][way]} == {"explained_variance", "shuffled", "round_trip"}
    for name in ("a_on_b", "b_on_a"):
        assert {*found["dictionaries"][name]} == {"raw", "mapped", "own", "ceiling", "cross_entropy_recovered"}
    assert {*found["features"]} == {"n_pairs", "cosine", "cosine_shuffled", "auc", "top_1"}
    assert {*found["interventions"]} == {"n_pairs", "steering", "ablation"}
    names = {"correlation", "top_1", "top_5", "mean_reciprocal_rank", "chance", "p_value"}
    for kind in ("steering", "ablation"):
        assert {*found["interventions"][kind]} == {"partner", "mapped"}
        assert {*found["interventions"][kind]["partner"]} == names


def test_two_models_share_more_than_chance_and_less_than_everything(pair):
    found = pair.record.transfer
    maps = found["maps"]["a_to_b"]
    assert abs(maps["shuffled"]) < 0.1 < 0.4 < maps["explained_variance"] < maps["round_trip"] < 1
    abroad = found["dictionaries"]["a_on_b"]
    assert 0.3 < abroad["mapped"] < abroad["own"]
    assert abroad["raw"] is None  # of another width
    assert found["features"]["cosine"] > 0.2 > abs(found["features"]["cosine_shuffled"])
    assert found["interventions"]["steering"]["mapped"]["p_value"] < 0.01
    random = found["controls"]["steering"]["random"]
    n = found["interventions"]["n_pairs"]
    assert abs(random["top_1"] - 1 / n) < 4 * np.sqrt(1 / n * (1 - 1 / n) / n)


def test_it_is_kept_beside_the_record(pair, tmp_path):
    pair.save(tmp_path)
    again = analogue.Comparison.load(tmp_path)
    assert again.transfer_table.equals(pair.transfer_table)
    assert again.record.transfer == json.loads(json.dumps(pair.record.transfer))
    table = pq.read_table(tmp_path / "transfer.parquet").to_pandas()
    assert len(table) == pair.record.n_kept
    chosen = table.dropna(subset="steering_partner")
    assert len(chosen) == pair.record.transfer["interventions"]["n_pairs"]
    steering = pair.record.transfer["interventions"]["steering"]["partner"]
    assert chosen.steering_partner.mean() == pytest.approx(steering["correlation"])
    assert (1 / chosen.steering_rank_partner).mean() == pytest.approx(steering["mean_reciprocal_rank"])
    assert [len(each) for each in chosen.steering_by_dose] == [3] * len(chosen)
    assert table.cosine.mean() == pytest.approx(pair.record.transfer["features"]["cosine"])


def test_little_text_to_fit_on_is_warned_of(pair):
    assert not [each for each in pair.record.warnings if "to fit maps on" in each]
    texts = [*read_texts("embedded:stories/train.parquet")][:8]
    found = analogue.transfer(A, B, "maps", path=texts, **SMALL | {"fit_sequences": 99})
    n_tokens = found.record.transfer["fit"]["n_tokens"]
    assert found.record.warnings[-1:] == [
        f"maps between the streams were fitted on {n_tokens:,} tokens, {n_tokens / 128:.0f} per dimension, and explain "
        "less than they could; let `transfer.fit_sequences` hold 2,560 tokens",
    ]


def test_the_command_line_finds_the_same(pair, compare, tmp_path):
    small = ("transfer.fit_sequences=30", "transfer.loss_sequences=2", "transfer.n_contexts=8", "data.batch_size=10")
    record = compare("transfer=all", "metrics=[rsa]", *small)
    assert record.transfer == pair.record.transfer
    assert pq.read_table(tmp_path / "run" / "transfer.parquet").equals(pair.transfer_table)


def test_features_of_opposite_effect_are_found_out_though_they_fire_alike():
    sae = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    opposed = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    found = analogue.transfer(A, A, "interventions", n_pairs=20, doses=[1], **SMALL)
    planted = int(found.transfer_table.to_pandas().dropna(subset="steering_partner").feature_a.iloc[3])
    with torch.no_grad():
        opposed.W_dec[planted] *= -1
    b = analogue.Side(model="embedded:stories-6", layer=3, sae=opposed)
    a = analogue.Side(model="embedded:stories-6", layer=3, sae=sae)
    table = analogue.transfer(a, b, "interventions", n_pairs=20, doses=[1], **SMALL).transfer_table.to_pandas()
    (row,) = table[table.feature_a == planted].to_dict("records")
    assert row["feature_b"] == planted
    assert row["correlation"] == pytest.approx(1)
    assert row["steering_partner"] < -0.5
    assert row["steering_rank_partner"] == 20
    others = table[table.feature_a != planted].dropna(subset="steering_partner")
    assert (others.steering_rank_partner == 1).all()


def test_a_model_of_random_weights_is_at_chance():
    random = analogue.Side(**{**vars(B), "randomize": "all"})
    filters = analogue.Filters(concept_tokens=False, shared_token=False, minimum_correlation=None)
    found = analogue.transfer(A, random, n_pairs=40, filters=filters, **SMALL).record.transfer
    n = found["interventions"]["n_pairs"]
    assert n == 40
    for arm in ("partner", "mapped"):
        scores = found["interventions"]["steering"][arm]
        assert abs(scores["correlation"]) < 0.1
        for k, name in ((1, "top_1"), (5, "top_5")):
            chance = k / n
            assert abs(scores[name] - chance) < 4 * np.sqrt(chance * (1 - chance) / n)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_models(dtype):
    half = analogue.Side(**{**vars(A), "dtype": dtype})
    found = analogue.transfer(half, A, n_pairs=5, **SMALL).record.transfer
    assert found["maps"]["a_to_b"]["explained_variance"] > 0.99
    assert found["interventions"]["steering"]["partner"]["top_1"] == 1


@pytest.fixture(scope="module")
def lab():
    """Both embedded models, two pairs and a text in which they fire here and there, by hand."""
    sides = open_side(A, "a"), open_side(B, "b")
    text = tokenise_corpus(analogue.Corpus(STORIES.path, n_sequences=3, seq_len=40, packing=True), *sides)
    rng = np.random.default_rng(0)
    acts = {}
    for side in sides:
        dense = rng.uniform(0.5, 3, (text.n_units, side.d_sae)) * (rng.random((text.n_units, side.d_sae)) < 0.1)
        acts[side.label] = FeatureActivations.from_dense(dense)
    weight = torch.from_numpy(rng.standard_normal((96, 128)))
    vocabulary = dict.fromkeys("ab", torch.arange(0, 3000, 7))
    pairs = ChosenPairs(np.array([5, 200]), np.array([17, 400]), np.array([33, NO_FEATURE]))
    to_b = AffineMap(weight, torch.zeros(128).double())
    by_label = {side.label: side for side in sides}
    return Laboratory(by_label, SideModels(sides, need_head=True), text, acts, to_b, vocabulary, pairs, seed=0)


def plain_model(label):
    name, layer = ("stories-6", 3) if label == "a" else ("stories-12", 6)
    model = AutoModelForCausalLM.from_pretrained(ASSETS / name, dtype=torch.float32).eval()
    return model, model.gpt_neox.layers[layer], SAE.load_from_disk(ASSETS / f"{name}-saes" / f"layer_{layer}")


@torch.no_grad()
def effect_by_hand(label, ids, change):
    """log p' - log p of the token after a context, with `change(stream)` added at its last token."""
    model, block, _ = plain_model(label)

    def hook(module, inputs, output):
        acts = (output[0] if isinstance(output, tuple) else output).clone()
        acts[:, -1] += change(acts[0, -1]).float()
        return (acts, *output[1:]) if isinstance(output, tuple) else acts

    before = model(ids[None]).logits[0, -1].double().log_softmax(-1)
    handle = block.register_forward_hook(hook)
    after = model(ids[None]).logits[0, -1].double().log_softmax(-1)
    handle.remove()
    return (after - before)[::7][:429].numpy()


def contexts(lab, units):
    starts = lab.text.places("a")[units]
    return [torch.from_numpy(lab.text.sequences["a"].ids[s // 40, : s % 40 + 1]) for s in starts]


def test_steering_is_what_a_hook_on_a_plain_forward_pass_does(lab):
    doses = (0.5, 3.0)
    found = steering_effects(lab, Transfer("all", n_contexts=4, doses=doses))
    dense = {label: lab.acts[label].to_scipy().toarray() for label in "ab"}
    features = {"a": lab.pairs.feature_a, "b": lab.pairs.feature_b}
    silent = sum((dense[label][:, [*features[label], *([33] if label == "b" else [])]] != 0).sum(1) for label in "ab")
    typical = {label: [dense[label][:, i][dense[label][:, i] != 0].mean() for i in features[label]] for label in "ab"}
    # The places are drawn, and are those at which none of the features fires.
    units = [unit for unit in range(120) if silent[unit] == 0 and unit % 40 >= 7]
    fires = np.array([silent > 0])
    chosen = silent_contexts(fires, (np.arange(120) % 40) >= 7, 4, 0)
    assert {*chosen} <= {*units}
    assert found.n_contexts.tolist() == [4, 4]
    saes = {label: plain_model(label)[2] for label in "ab"}
    for d, dose in enumerate(doses):
        for i in range(2):
            row = {label: typical[label][i] * saes[label].W_dec[features[label][i]].double() for label in "ab"}
            of_a = [effect_by_hand("a", ids, lambda at: dose * row["a"]) for ids in contexts(lab, chosen)]  # noqa: B023
            np.testing.assert_allclose(found.a[d, i], np.mean(of_a, 0), atol=1e-5)
            for arm, vector in ((0, row["b"]), (1, row["a"] @ lab.map.weight)):
                of_b = [effect_by_hand("b", ids, lambda at: dose * vector) for ids in contexts(lab, chosen)]  # noqa: B023
                np.testing.assert_allclose(found.b[arm, d, i], np.mean(of_b, 0), atol=2e-5 if arm else 1e-5)
    assert np.isnan(found.b[3, :, 1]).all()  # it has no hard negative
    assert np.isfinite(found.b[3, :, 0]).all()


def test_ablation_is_what_a_hook_on_a_plain_forward_pass_does(lab):
    sae = {label: plain_model(label)[2] for label in "ab"}
    model, block, _ = plain_model("a")
    seen: list[torch.Tensor] = []
    handle = block.register_forward_hook(lambda m, i, out: seen.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        model(torch.from_numpy(lab.text.sequences["a"].ids))
    handle.remove()
    with torch.no_grad():
        real = sae["a"].encode(seen[0].reshape(120, -1))
    feature = int((real[8:40] > 0).sum(0).argmax())  # one that fires in the first sequence
    units = np.flatnonzero(real[:, feature].numpy() > 0)
    units = units[units % 40 >= 7]
    fires = FeatureActivations.from_dense(np.eye(1)[np.zeros(120, int)] * (np.isin(np.arange(120), units))[:, None])
    acts = {label: FeatureActivations(fires.indptr, fires.indices, fires.values, 768) for label in "ab"}
    pairs = ChosenPairs(np.array([0]), np.array([0]), np.array([NO_FEATURE]))
    there = Laboratory(lab.sides, lab.models, lab.text, acts, lab.map, lab.vocabulary, pairs, seed=0)
    with torch.no_grad():  # an SAE whose feature 0 is that one
        swapped = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
        for weights, dim in ((swapped.W_enc, 1), (swapped.b_enc, 0), (swapped.W_dec, 0)):
            weights.copy_(weights.clone().index_select(dim, exchange(768, feature)))
    there.sides = {"a": replace(lab.sides["a"], sae=swapped), "b": lab.sides["b"]}
    found = ablation_effects(there, Transfer("all", n_contexts=16))
    assert found.n_contexts.tolist() == [min(4, len(units))]
    allowed = (np.arange(120) % 40) >= 7
    chosen = firing_contexts(np.isin(np.arange(120), units), allowed, 4, 0)

    def without(at):
        value = sae["a"].encode(at[None])[0, feature]
        return -value * sae["a"].W_dec[feature]

    of_a = [effect_by_hand("a", ids, without) for ids in contexts(lab, chosen)]
    np.testing.assert_allclose(found.a[0, 0], np.mean(of_a, 0), atol=1e-5)
    assert np.abs(found.a[0, 0]).max() > 0.01


def exchange(n, feature):
    order = torch.arange(n)
    order[0], order[feature] = feature, 0
    return order


def test_streaming_keeps_moments_and_a_sample_whatever_the_text():
    moments, whole = StreamedMoments(5, 7), torch.randn(900, 12, generator=torch.Generator().manual_seed(0)) + 3
    in_sample = torch.zeros(900, dtype=torch.bool)
    in_sample[::30] = True
    for part in torch.arange(900).split(41):
        moments.update(whole[part, :5], whole[part, 5:], in_sample[part], torch.arange(len(part)).flip(0))
    *sums, shuffled, x, y = moments.compute()
    for found, expected in zip(sums, paired_moments(whole[:, :5], whole[:, 5:]), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-12)
    assert (len(x), len(y)) == (30, 30)
    n_kept = sum(each.numel() for each in (*sums, shuffled, x, y))
    assert n_kept == 1 + 5 + 7 + 25 + 49 + 35 + 35 + 30 * 12
    assert (shuffled - sums[-1]).abs().max() > 10


def refused(match, a=A, b=B, parts="all", **settings):
    with pytest.raises(analogue.ArgumentError, match=match):
        analogue.transfer(a, b, parts, **SMALL | settings)


def test_too_few_tokens_for_a_map_say_how_many_are_needed():
    refused(r"transfer.path=None: .* leaves 200 tokens to fit maps on, .* width 128 need at least 256", fit_sequences=2)


def test_text_that_is_measured_on_is_no_text_to_fit_on():
    refused(r"transfer.path=embedded:stories/heldout.parquet: holds 100% of the text", path=STORIES.path)


def test_without_pairs_there_is_nothing_to_intervene_on():
    filters = analogue.Filters(minimum_firing_count=10**6)
    refused(r"transfer=all: needs at least 2 pairs, and the filters keep 0", filters=filters)
    found = analogue.transfer(A, B, "maps", filters=filters, **SMALL).record.transfer
    assert found["features"] == {"n_pairs": 0, "cosine": None, "cosine_shuffled": None, "auc": None, "top_1": None}


def test_a_model_without_a_head_predicts_nothing():
    headless = AutoModel.from_pretrained(ASSETS / "stories-12", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "stories-12")
    b = analogue.Side(model=headless, tokenizer=tokenizer, layer=6, sae=B.sae)
    refused(r"b.model=.*: has no language-model head", b=b)
    found = analogue.transfer(A, b, "maps", **SMALL).record.transfer
    assert found["dictionaries"]["a_on_b"]["cross_entropy_recovered"] is None
    assert found["dictionaries"]["b_on_a"]["cross_entropy_recovered"]["own"] > 0.9


def test_neurons_write_elsewhere_than_they_read():
    refused(r"b.sae=neurons: does not write to the stream", b=analogue.Side(model=B.model, layer=6, sae="neurons"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"parts": "some"}, "parts=some"),
        ({"n_pairs": 1}, "n_pairs=1: must be at least 2"),
        ({"doses": []}, "doses"),
        ({"doses": [-1.0]}, "doses=-1.0: must be above 0"),
        ({"doses": [0]}, "doses=0: must be above 0"),
        ({"fit_sequences": 0}, "fit_sequences=0"),
    ],
)
def test_settings_that_cannot_work(settings, told):
    with pytest.raises(analogue.InvalidArgument, match=told):
        analogue.Transfer(**settings)


def test_the_room_can_be_called_and_imported():
    import analogue.transfer as room

    assert room is analogue.transfer
    assert room.ridge_map
    with pytest.raises(analogue.InvalidArgument, match="parts=everything"):
        analogue.transfer(A, B, "everything")


def test_two_ranks_fit_and_measure_what_one_does(tmp_path):
    small = ("data.n_sequences=11", "data.seq_len=60", "null.n=9", "transfer=all", "transfer.fit_sequences=25")
    small += ("transfer.loss_sequences=2", "transfer.n_pairs=4", "transfer.n_contexts=4", "filters=none", "cache=off")
    quiet = ("logger=none", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "data.batch_size=3")
    run(COMPARE, *small, *quiet, "hydra.run.dir=one", cwd=tmp_path)
    run_ranks(2, COMPARE, *small, *quiet, "hydra.run.dir=two", cwd=tmp_path)
    one, two = (
        ComparisonResult.from_json((tmp_path / name / "result.json").read_text()).transfer for name in ("one", "two")
    )
    assert one["fit"]["n_tokens"] == two["fit"]["n_tokens"] == 25 * 60
    shuffled = [{way: each.pop("shuffled") for way, each in found["maps"].items()} for found in (one, two)]
    for found in shuffled:  # tokens are shuffled within batches, which differ
        assert all(abs(value) < 0.3 for value in found.values())
    for section in ("maps", "rotations", "dictionaries", "features", "interventions"):
        for name, value in flatten(one[section]).items():
            assert flatten(two[section])[name] == pytest.approx(value, abs=1e-4), (section, name)
