"""Arguments of the wrong kind: one true sentence, before any work is done."""

import functools
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import analogue
from analogue.comparison.pairing import chosen_rule, pair_features
from analogue.comparison.scoring import chosen_metrics
from analogue.comparison.sides import open_side
from analogue.matching import max_correlation
from analogue.similarity import Metric

A = {"model": "embedded:stories-6", "layer": 3, "sae": "embedded:stories-6-saes/layer_{layer}"}
SMALL = {"n_sequences": 4, "seq_len": 40, "null": analogue.Null(n=5), "device": "cpu", "progress": False}
TEXT = "Once upon a time there was a dog. She had a friend, who was a cat. " * 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: analogue.Side(**A | {"layer": "3"}), "layer='3': must be a whole number"),
        (lambda: analogue.Side(**A | {"layer": 3.0}), "layer=3.0: must be a whole number"),
        (lambda: analogue.Side(**A | {"layer": None}), "layer=None: must be a whole number"),
        (lambda: analogue.Side(**A, before_topk="yes"), "before_topk='yes': must be True or False"),
        (lambda: analogue.Corpus(3), "path=3: must be the path of a file, a name, or a list of texts"),
        (lambda: analogue.Corpus({"a": "b"}), "path={'a': 'b'}: must be the path of a file"),
        (lambda: analogue.Corpus("a.txt", batch_size=1.5), "batch_size=1.5: must be a whole number"),
        (lambda: analogue.Corpus("a.txt", packing="no"), "packing='no': must be True or False"),
        (lambda: analogue.Matching(rule=None), "rule=None: is not an option; choose from max_correlation"),
        (lambda: analogue.Matching("greedy", settings=[3]), r"settings=\[3\]: must be a mapping"),
        (lambda: analogue.Filters(top_tokens="5"), "top_tokens='5': must be a whole number"),
        (lambda: analogue.Filters(shared_token="no"), "shared_token='no': must be True or False"),
        (lambda: analogue.Filters(non_concept_tokens=".,"), "non_concept_tokens='.,': must be a list of strings"),
        (lambda: analogue.Filters(minimum_firing_count="3"), "minimum_firing_count='3': must be a whole number"),
        (lambda: analogue.Filters(minimum_correlation="0.1"), "minimum_correlation='0.1': must be a number"),
        (lambda: analogue.Filters(minimum_correlation=False), "minimum_correlation=False: must be a number"),
        (lambda: analogue.Filters(minimum_correlation=2), "minimum_correlation=2: must lie between -1 and 1"),
        (lambda: analogue.Null(kinds="shuffle"), "kinds='shuffle': must be a list of strings"),
        (lambda: analogue.Null(n=1.5), "n=1.5: must be a whole number"),
        (lambda: analogue.Concepts(["dog"]), r"keywords=\['dog'\]: must map"),
        (lambda: analogue.Concepts({"Animals": "dog"}), "keywords.Animals='dog': must be a list of strings"),
        (lambda: analogue.Cache(dir=3), "dir=3: must be the path of a directory"),
        (lambda: analogue.Cache(max_gb="20"), "max_gb='20': must be a number"),
        (lambda: analogue.Cache(max_gb=-1), "max_gb=-1: must be at least 0"),
        (lambda: analogue.Cache(layers_a="3"), "layers_a='3': must be a list of layers"),
    ],
)
def test_settings_of_the_wrong_kind(make, message):
    with pytest.raises(analogue.InvalidArgument, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": "embedded:stories-6"}, "a='embedded:stories-6': must be a Side"),
        ({"seed": 1.5}, "seed=1.5: must be a whole number"),
        ({"seed": None}, "seed=None: must be a whole number"),
        ({"n_sequences": "10"}, "n_sequences='10': must be a whole number"),
        ({"corpus": 3}, "corpus=3: must be the path of a file"),
        ({"corpus": "A dog. She was big."}, "corpus=A dog. She was big.: .* or put texts into a list"),
        ({"null": "shuffle"}, "null='shuffle': must be a Null"),
        ({"filters": {}}, "filters={}: must be a Filters"),
        ({"matching": 3}, "matching=3: must be a Matching"),
        ({"cache": "here"}, "cache='here': must be a Cache"),
        ({"metrics": [None]}, "metrics=None: is neither the name of a metric nor a Metric"),
        ({"metrics": 3}, "metrics=3: must be a list of metrics"),
        ({"trainer": 3}, "trainer=3: must be a Trainer"),
        ({"device": "cuda:0"}, "device=cuda:0: is not a device; choose from auto, cpu, cuda"),
    ],
)
def test_arguments_of_the_wrong_kind(given, message):
    sides = {"a": analogue.Side(**A), "b": analogue.Side(**A)}
    with pytest.raises(analogue.InvalidArgument, match=f"^{message}"):
        analogue.compare(**sides | SMALL | given)


@pytest.mark.parametrize("name", ["a", "b", "matching", "filters", "null", "transfer", "cache"])
def test_the_example_of_a_message_is_what_was_wanted(name):
    sides = {"a": analogue.Side(**A), "b": analogue.Side(**A)}
    with pytest.raises(analogue.InvalidArgument, match=f"^{name}=3: must be a") as error:
        analogue.compare(**sides | SMALL | {name: 3})
    kind, example = re.fullmatch(r".*: must be an? (\w+), such as (.*)", str(error.value)).groups()
    assert isinstance(eval(example, {"analogue": analogue}), getattr(analogue, kind))


def test_a_gpu_that_is_not_there_is_named_as_the_device(monkeypatch):
    monkeypatch.setattr("lightning.pytorch.accelerators.CUDAAccelerator.is_available", lambda: False)
    with pytest.raises(analogue.InvalidArgument, match=r"^device=cuda: is not there; choose cpu, or auto"):
        analogue.compare(analogue.Side(**A), analogue.Side(**A), **SMALL | {"device": "cuda"})


def test_whatever_holds_texts_metrics_and_numbers_will_do(tmp_path):
    """Generators are read once, NumPy's numbers can be saved, and the record keeps what was asked for."""
    side = analogue.Side(**A | {"layer": np.int64(3), "sae": Path(A["sae"].replace("embedded:", str(assets())))})
    found = analogue.compare(
        side,
        side,
        **SMALL | {"null": analogue.Null(n=np.int64(5))},
        corpus=(TEXT for _ in range(3)),
        metrics=(name for name in ("rsa", "svcca")),
        filters=analogue.Filters(minimum_correlation=np.float32(0.25)),
        seed=np.int64(1),
    )
    found.save(tmp_path)
    config = json.loads((tmp_path / "result.json").read_text())["config"]
    assert config["metrics"] == ["rsa", "svcca"]
    assert (config["seed"], config["layer_a"], config["null"]["n"]) == (1, 3, 5)
    assert config["filters"]["minimum_correlation"] == 0.25
    assert found.record.corpus.path == "3 texts"


class OwnRule:
    def __call__(self, acts_a, acts_b, direction, **settings):
        return max_correlation(acts_a, acts_b, direction)


def own_rule(acts_a, acts_b, direction):
    return max_correlation(acts_a, acts_b, direction)


@pytest.mark.parametrize(
    ("rule", "settings", "name"),
    [(own_rule, {}, "own_rule"), (functools.partial(own_rule), {}, "own_rule"), (OwnRule(), {"k": 1}, "OwnRule")],
)
def test_a_rule_of_one_s_own(rule, settings, name):
    side = analogue.Side(**A)
    matching = analogue.Matching(rule, settings=settings)
    found, expected = (analogue.compare(side, side, metrics=["rsa"], matching=m, **SMALL) for m in (matching, None))
    assert found.record.rule == name
    assert found.pairs.equals(expected.pairs)


def test_a_rule_that_makes_no_pairs_is_named():
    matching = analogue.Matching(lambda acts_a, acts_b, direction: None)
    side = open_side(analogue.Side(**A), "a")
    with pytest.raises(analogue.InvalidArgument, match=r"^matching.rule=<lambda>: puts out None"):
        pair_features(None, None, chosen_rule(matching, side, side), matching)


def test_a_metric_of_one_s_own_beside_one_by_name():
    own = Metric.from_function("own", lambda x, y: 1.0)
    assert [each.name for each in chosen_metrics([own, "rsa"], seed=0)] == ["own", "rsa"]


def test_a_comparison_without_scores_shows_itself():
    side = analogue.Side(**A)
    found = analogue.compare(side, side, metrics=["rsa"], **SMALL)
    found.record.similarity.clear()
    assert "embedded:stories-6" in found._repr_html_()
    assert "layer 3" in repr(found)


def test_settings_and_errors_survive_the_way_between_processes():
    for each in (analogue.Side(**A), analogue.Null(), analogue.Corpus(["a"]), analogue.Matching(own_rule)):
        assert pickle.loads(pickle.dumps(each)) == each
    error = pickle.loads(pickle.dumps(analogue.NotFound("a.sae", "x", "is not there")))
    assert (type(error), str(error)) == (analogue.NotFound, "a.sae=x: is not there")


def assets():
    from analogue.embedded import ASSETS

    return f"{ASSETS}/"
