"""`analogue.compare` as a notebook calls it."""

import html
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

import analogue
from analogue.comparison import (
    chosen_rule,
    collect_activations,
    describe_features,
    filter_pairs,
    open_side,
    pair_features,
    score_pairs,
    special_tokens_of,
    tokenise_corpus,
)
from analogue.corpus import read_texts
from analogue.embedded import ASSETS
from analogue.errors import AnalogueWarning
from analogue.settings import STORIES
from analogue.trainer import trainer_on

SMALL = {"n_sequences": 12, "seq_len": 100, "null": analogue.Null(n=19), "device": "cpu", "progress": False}
TEXTS = [*read_texts("embedded:stories/heldout.parquet")][:12]


@pytest.fixture
def a():
    return analogue.Side(model="embedded:stories-6", layer=3, sae="embedded:stories-6-saes/layer_{layer}")


@pytest.fixture
def b():
    return analogue.Side(model="embedded:stories-12", layer=6, sae="embedded:stories-12-saes/layer_{layer}")


def test_the_library_and_the_command_line_find_the_same(a, b, compare, tmp_path):
    recorded = compare("concepts=paper", "concepts.n=19", "null.kinds=[shuffle,rotated]")
    found = analogue.compare(
        a,
        b,
        corpus=replace(STORIES, batch_size=5),
        **SMALL | {"null": analogue.Null(n=19, kinds=["shuffle", "rotated"])},
        concepts=analogue.Concepts(recorded.config["concepts"]["keywords"], n=19),
    )
    assert found.record.similarity == recorded.similarity
    assert found.record.concepts == recorded.concepts
    assert found.record.funnel == recorded.funnel
    found.save(tmp_path / "saved")
    again = analogue.Comparison.load(tmp_path / "saved")
    assert again.record == found.record
    pd.testing.assert_frame_equal(again.pairs, found.pairs)
    with pytest.raises(LookupError, match=r"directory=.*holds no result.json"):
        analogue.Comparison.load(tmp_path)
    for name in ("pairs.parquet", "nulls.parquet"):
        assert pq.read_table(tmp_path / "saved" / name).equals(pq.read_table(tmp_path / "run" / name))
    record, other = (json.loads((tmp_path / each / "result.json").read_text()) for each in ("saved", "run"))
    assert record.keys() == other.keys()
    for name, section in record["config"].items():  # under the names of the configuration
        if isinstance(section, dict):
            same = {key: value for key, value in section.items() if key not in ("batch_size", "kinds")}
            assert same.items() <= other["config"][name].items(), name


def test_models_and_saes_at_hand_give_the_same_and_stay_as_they_are(a, b):
    model = AutoModel.from_pretrained(ASSETS / "stories-12", dtype=torch.float32).train()
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "stories-12")
    sae = SAE.load_from_disk(ASSETS / "stories-12-saes" / "layer_6")
    before = {name: weights.clone() for name, weights in [*model.named_parameters(), *sae.named_parameters()]}
    at_hand = analogue.Side(model=model, tokenizer=tokenizer, layer=6, sae=sae)
    by_name, by_object = (analogue.compare(a, side, **SMALL) for side in (b, at_hand))
    pd.testing.assert_frame_equal(by_object.pairs, by_name.pairs)
    pd.testing.assert_frame_equal(by_object.scores, by_name.scores)
    assert model.training
    assert all(weights.requires_grad for weights in model.parameters())
    for name, weights in [*model.named_parameters(), *sae.named_parameters()]:
        assert torch.equal(weights, before[name])


def test_texts_at_hand_are_read_as_a_file_of_them_is(a, b, tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    from_list, from_file = (analogue.compare(a, b, corpus=corpus, **SMALL) for corpus in (TEXTS, file))
    pd.testing.assert_frame_equal(from_list.pairs, from_file.pairs)
    assert from_list.record.corpus.path == "12 texts"


def test_the_steps_are_the_comparison(a, b):
    whole = analogue.compare(a, b, metrics=["rsa"], seed=3, **SMALL)
    matching, filters = analogue.Matching(), analogue.Filters()
    sides = open_side(a, "a"), open_side(b, "b")
    text = tokenise_corpus(
        analogue.Corpus("embedded:stories/heldout.parquet", None, n_sequences=12, seq_len=100, packing=True), *sides
    )
    collected = collect_activations(sides, text, trainer_on("cpu", progress=False))
    acts = [collected.activations[label].activations for label in "ab"]
    pairs = pair_features(*acts, chosen_rule(matching, *sides), matching)
    units = text.units(sides[0])
    spaces = [describe_features(side, each, units, filters.top_tokens) for side, each in zip(sides, acts, strict=True)]
    pairing = filter_pairs(pairs, *spaces, filters, special_tokens_of(*sides))
    scores = score_pairs(pairing.pairs, *spaces, ["rsa"], analogue.Null(n=19), seed=3)
    assert [*zip(whole.funnel["filter"], whole.funnel["n_pairs"], strict=True)] == pairing.funnel
    assert [each.to_dict() for each in scores.similarity] == whole.record.similarity


def test_nothing_is_printed_written_or_left_behind(a, b, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    environment, filters = dict(os.environ), [*warnings.filters]
    loggers = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric", "sae_lens")}
    random = torch.get_rng_state()
    transformers_logging.enable_progress_bar()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AnalogueWarning)
        analogue.compare(a, b, **SMALL)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not [each for each in caught if issubclass(each.category, AnalogueWarning)]
    assert not [*tmp_path.rglob("*")]
    assert dict(os.environ) == environment
    assert warnings.filters == filters
    assert {name: logging.getLogger(name).level for name in loggers} == loggers
    assert torch.equal(torch.get_rng_state(), random)
    assert transformers_logging.is_progress_bar_enabled()


def test_a_cache_keeps_the_activations(a, b, tmp_path):
    first, second = (analogue.compare(a, b, cache=analogue.Cache(tmp_path), **SMALL) for _ in "12")
    assert (first.record.n_model_passes, second.record.n_model_passes) == (2, 0)
    pd.testing.assert_frame_equal(first.scores, second.scores)


def test_a_comparison_shows_itself(a, b):
    comparison = analogue.compare(a, b, concepts={"Animals": ["dog", "cat", "bird", "bear"]}, **SMALL)
    comparison.record.warnings.append("<b>one & two</b>")
    page = comparison._repr_html_()
    shown = html.unescape(re.sub("<[^>]+>", "", page))
    assert [line.rstrip() for line in shown.splitlines()] == [line.rstrip() for line in str(comparison).splitlines()]
    assert "&lt;b&gt;one &amp; two" in page
    assert f"{comparison.scores.score[0]:.4f}" in page
    assert comparison.transfer.empty
    assert "embedded:stories-12" in repr(comparison)
    assert "Similarity of the paired decoder rows" in str(comparison)
    assert {"shuffle", "random_subset"} == set(comparison.concepts.null)
    assert comparison.pairs.kept.sum() == comparison.record.n_kept


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"corpus": "nothing.jsonl"}, LookupError, "corpus=nothing.jsonl: is not a file"),
        ({"corpus": []}, ValueError, "corpus"),
        ({"metrics": ["svca"]}, ValueError, "metrics=svca: unknown metric"),
        ({"metrics": []}, ValueError, "metrics"),
        ({"metrics": "rsa"}, ValueError, "metrics=rsa: must be a list"),
        ({"seq_len": 1}, ValueError, "seq_len=1: must be at least 2"),
        ({"seq_len": 5000}, ValueError, "seq_len=5000: embedded:stories-6 .`a.model`. reads at most"),
        ({"alignment": "words"}, ValueError, "alignment=words: is not an option; choose from tokens, spans"),
        ({"matching": "cosine"}, ValueError, "matching.rule=cosine: compares weights"),
        ({"matching": "closest"}, ValueError, "matching=closest: is not an option; choose from max_correlation"),
        ({"matching": analogue.Matching("greedy", settings={"k": 0})}, ValueError, "matching.settings.k=0: "),
        ({"matching": analogue.Matching("greedy", settings={"q": 1})}, ValueError, "matching.settings.q=1: is not a"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"device": "abacus"}, ValueError, "device=abacus"),
        ({"cache": analogue.Cache("/dev/null")}, OSError, "cache.dir=/dev/null: cannot be written to"),
    ],
)
def test_errors_are_ordinary_ones_that_name_the_argument(a, b, given, kind, message):
    with pytest.raises(kind, match=f"^{message}") as error:
        analogue.compare(a, b, **SMALL | given)
    assert isinstance(error.value, analogue.ArgumentError)


@pytest.mark.parametrize(
    ("side", "kind", "message"),
    [
        ({"layer": 17}, ValueError, "b.layer=17: embedded:stories-12 has blocks 0 to 11"),
        ({"model": "embedded:stories-7"}, LookupError, "b.model=embedded:stories-7"),
        ({"sae": "no/such/sae"}, LookupError, "b.sae=no/such/sae: is not a directory"),
        ({"sae": "embedded:stories-6-saes/layer_3"}, ValueError, "b.sae=.*`b.model`. has d_model 128"),
        ({"dtype": "float12"}, ValueError, "dtype=float12"),
        ({"hook": "resid"}, ValueError, "hook=resid: is not an option; choose from resid_pre, resid_mid, resid_post"),
    ],
)
def test_errors_of_a_side_name_it(a, side, kind, message):
    given = {"model": "embedded:stories-12", "layer": 6, "sae": "embedded:stories-12-saes/layer_6"} | side
    with pytest.raises(kind, match=f"^{message}"):
        analogue.compare(a, analogue.Side(**given), **SMALL)


def test_import_loads_nothing_heavy_and_dir_lists_the_public_door():
    code = "import analogue, sys; analogue.Side; analogue.Null; print(*sorted(sys.modules)); print(*dir(analogue))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, offered = ended.stdout.splitlines()
    assert not {"torch", "numpy", "transformers", "lightning", "hydra"} & set(loaded.split())
    assert {"compare", "train", "load_sae", "Comparison", "Side"} <= set(offered.split())


def test_the_progress_bar_says_what_is_done(a, b, capfd):
    analogue.compare(a, b, **SMALL | {"progress": True})
    shown = capfd.readouterr().out
    assert "Reading text" in shown
    assert "Testing" not in shown
