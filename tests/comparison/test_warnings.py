"""What a record says against its own numbers: tokens that an SAE never saw, the same weights under two names."""

import json
import shutil

import pytest
import sae_lens
import torch
from transformers import AutoModel

import analogue
from analogue.comparison import open_side
from analogue.embedded import ASSETS
from analogue.errors import AnalogueWarning
from analogue.models import same_weights
from analogue.saes import load

SAE = "embedded:stories-6-saes/layer_{layer}"


@pytest.fixture
def renamed(tmp_path):
    """The embedded model in two folders, whose configurations differ."""
    for name in ("step1000", "step2000"):
        shutil.copytree(ASSETS / "stories-6", tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text()) | {"_name_or_path": name}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    return tmp_path


def about_names(record):
    return [warning for warning in record.warnings if "the same weights" in warning]


def test_the_same_model_under_two_names_is_told(compare, renamed):
    both = (f"model_a.name={renamed}/step1000", f"model_b.name={renamed}/step2000", f"sae_b.path='{SAE}'", "layer_b=3")
    record = compare(*both)
    assert record.side_a.model_fingerprint != record.side_b.model_fingerprint
    assert about_names(record) == [
        f"models a and b have the same weights, under two names: {renamed}/step1000 and {renamed}/step2000"
    ]
    assert about_names(compare(*both, "model_b.randomize=weights")) == []


def test_the_same_sae_under_two_names_is_told(compare, tmp_path):
    load(SAE, 3).save_model(tmp_path / "copy")
    record = compare("model_b=stories_6", f"sae_b.path={tmp_path}/copy", "layer_b=3")
    assert about_names(record) == [
        f"SAEs a and b have the same weights, under two names: embedded:stories-6-saes/layer_3 and {tmp_path}/copy"
    ]


def test_one_name_on_both_sides_is_no_news(compare):
    assert about_names(compare("model_b=stories_6", "sae_b=stories_6", "layer_b=3")) == []


def test_weights_are_compared_wherever_they_lie(renamed):
    one = AutoModel.from_pretrained(renamed / "step1000")
    two = AutoModel.from_pretrained(renamed / "step2000")
    assert same_weights(one, two, [None, None])
    assert same_weights(str(renamed / "step1000"), str(ASSETS / "stories-6"), [None, None])
    two.embed_in.weight.data[0, 0] += 1
    assert not same_weights(one, two, [None, None])
    assert not same_weights(str(renamed / "step1000"), str(ASSETS / "stories-12"), [None, None])
    assert not same_weights("nobody/none", "nobody/other", [None, None])


@pytest.mark.parametrize("recorded", [True, [0]])
def test_special_tokens_that_count_here_alone_are_told(compare, tmp_path, recorded):
    sae = load(SAE, 3)
    sae.cfg.metadata.exclude_special_tokens = recorded
    sae.save_model(tmp_path / "sae")
    told = [each for each in compare(f"sae_a.path={tmp_path}/sae").warnings if "trained without" in each]
    assert told == [
        "SAE a was trained without special tokens, which count here; data.exclude_special=true leaves them out"
    ]


def test_what_was_asked_for_is_named_as_the_reason_and_nothing_is_suspected(compare, capfd):
    told = compare("sae_a.before_topk=true", "model_b.randomize=all", "cache=off").warnings
    (of_a,) = (each for each in told if each.startswith("SAE a explains"))
    (of_b,) = (each for each in told if each.startswith("SAE b explains"))
    reason = "sae_a.before_topk=true keeps activations that its decoder was trained without"
    assert of_a.endswith(f"of the variance of layer 3 of embedded:stories-6: {reason}")
    assert of_b.endswith(": model_b.randomize=all makes its model another one")
    said = [line for line in capfd.readouterr().err.splitlines() if "explains" in line]
    assert len(said) == 2
    assert not any("wrong layer" in each or "first tokens" in each for each in (*told, *said))


def test_a_warning_points_at_the_line_that_called_the_package():
    sae = sae_lens.SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    with torch.no_grad():
        sae.W_dec.copy_(sae.W_dec.flip(0))
    side = analogue.Side("embedded:stories-6", layer=3, sae=sae)
    with pytest.warns(AnalogueWarning, match="on the first batch, SAE . explains") as caught:
        analogue.compare(side, side, n_sequences=4, metrics=["rsa"], null=analogue.Null(n=5), progress=False)
    assert {each.filename for each in caught if each.category is AnalogueWarning} == {__file__}


def test_an_sae_of_another_layer_explains_little_for_that_reason():
    where = {"model": "embedded:stories-6", "sae": "embedded:stories-6-saes/layer_0"}
    reason = open_side(analogue.Side(layer=5, **where), "a").reason_to_explain_little
    assert reason == "it was trained on blocks.0.hook_resid_post, and reads resid_post of block 5"
    assert open_side(analogue.Side(layer=0, **where), "a").reason_to_explain_little is None


def test_outliers_that_an_sae_was_trained_without_are_named():
    sae = sae_lens.SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    sae.cfg.metadata.exclude_outliers = 10.0
    side, few = analogue.Side("embedded:stories-6", 3, sae), {"n_sequences": 4, "metrics": ["rsa"], "progress": False}
    told = analogue.compare(side, side, null=analogue.Null(n=5), **few).record.warnings
    assert [each for each in told if "SAE a was trained without tokens of huge norms" in each]
    left_out = analogue.compare(side, side, null=analogue.Null(n=5), exclude_outliers=10, **few)
    assert not [each for each in left_out.record.warnings if "huge norms" in each]
    assert left_out.record.corpus.excluded
