"""Spaces of models with two tokenizers, on the spans of text that both share; those of three are refused."""

import numpy as np
import pytest

from analogue.cli.universality import run_universality
from analogue.errors import UserError
from tests.comparison.test_spans import TOKENIZERS, write_model
from tests.universality.test_command import QUIET, SMALL

STORIES = "{name: six, model: embedded:stories-6, layer: 3, sae: embedded:stories-6-saes/layer_3}"
TWELVE = "{name: twelve, model: embedded:stories-12, layer: 6, sae: embedded:stories-12-saes/layer_6}"


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Models of random weights, each with another tokenizer."""
    folders = {}
    for name, make in TOKENIZERS.items():
        folder = tmp_path_factory.mktemp("model")
        write_model(folder, make())
        folders[name] = f"{{name: {name}, model: {folder}, layer: 1, sae: {folder}/layer_1}}"
    return folders


@pytest.fixture
def study(compose_config, activation_cache, tmp_path):
    def run(spaces, *overrides):
        places = (f"output_dir={tmp_path}/out", f"cache.dir={activation_cache}", f"spaces=[{','.join(spaces)}]")
        return run_universality(
            compose_config("universality", "experiment=models", *SMALL, *QUIET, *places, *overrides)
        )

    return run


@pytest.mark.parametrize("name", TOKENIZERS)
def test_spaces_of_two_tokenizers_are_clustered_on_spans(study, others, name):
    found = study([STORIES, others[name], TWELVE], "data.exclude_bos=true", "data.exclude_outliers=20")
    record = found.record
    assert record.corpus["spans"]
    assert set(record.corpus["excluded"]) == {"bos", "outliers"}
    assert set(record.corpus["excluded"]["bos"]) == {"spaces.0", "spaces.1", "spaces.2"}
    of_random = found.clusters[found.clusters.space == 1]
    pair = found.clusters[found.clusters.space_name == "six"]
    assert len(pair) > 50  # the trained models share features
    assert len(of_random) < len(pair)
    assert np.array(record.matrices["matched"], dtype=float).shape == (3, 3)


def test_with_one_tokenizer_spans_are_the_tokens(study):
    spans, tokens = study([STORIES, TWELVE]), study([STORIES, TWELVE], "alignment=tokens")
    assert spans.record.spectrum == tokens.record.spectrum
    assert spans.clusters.equals(tokens.clusters)


def test_other_tokens_without_spans_are_refused(study, others):
    with pytest.raises(UserError, match=r"spaces.1.model=.*: has another tokenizer than embedded:stories-6 .*spans"):
        study([STORIES, others["metaspace"]], "alignment=tokens")


def test_three_tokenizers_are_refused(study, others):
    with pytest.raises(UserError, match=r"spaces.2.model=.*: has a third tokenizer"):
        study([STORIES, *others.values()])
