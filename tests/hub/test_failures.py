"""What a user is told when a download cannot be had, and what works without a network."""

import time

import pytest
from huggingface_hub import constants

from analogue.errors import Unavailable
from analogue.hub import hub_errors

PYTHIA = "experiment=pythia_70m_vs_160m"


def told(answer):
    assert answer.get("kind") == "UserError", answer
    assert "\n" not in answer["error"]
    return answer["error"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["model_a=hub", "model_a.name=EleutherAI/pythia-71m"],
            "model_a.name=EleutherAI/pythia-71m: is not on the hub",
        ),
        (["model_b.revision=step7"], "model_b.name=EleutherAI/pythia-160m: has no such revision"),
        (["sae_a=hub", "sae_a.path=gemma-2b-res-jv:blocks.6.hook_resid_post"], "close are gemma-2b-res-jb"),
        (["sae_a=hub", "sae_a.path=gemma-2b-res-jb:blocks.7.hook_resid_post"], "it has blocks.17.hook_resid_post"),
        (
            ["sae_a=hub", "sae_a.path=EleutherAI/sae-none:layers.3"],
            "sae_a.path=EleutherAI/sae-none:layers.3: is not on",
        ),
        (["layer_a=2"], "sae_a.path=EleutherAI/sae-pythia-70m-32k:layers.2: lacks a file that is needed"),
        (["sae_a=pythia_160m"], "reads activations of width 24, but EleutherAI/pythia-70m"),
        (["model_b=gemma_1_2b", "sae_b=gemma_1_2b", "layer_b=12"], "has another tokenizer"),
        (["data.path=some/corpus"], "data.path=some/corpus: cannot be opened: Dataset 'some/corpus' doesn't exist"),
        (["data.column=story"], "has no column 'story' (data.column); its columns are text"),
        (["model_a=hub"], "model_a.name=???: has no value"),
        (["data.split=dev"], "data.path=Skylion007/openwebtext: cannot be opened"),
    ],
)
def test_what_is_not_there_is_one_sentence_naming_the_key(client, overrides, sentence):
    assert sentence in told(client.compare(PYTHIA, *overrides))


def test_a_gated_model_says_how_to_log_in(hub, client):
    hub.gated.add("meta-llama/Gated")
    (hub.root / "models/meta-llama/Gated").mkdir()
    answer = told(client.compare(PYTHIA, "model_a=hub", "model_a.name=meta-llama/Gated"))
    assert answer.startswith("model_a.name=meta-llama/Gated: is gated")
    assert "hf auth login" in answer


def test_fewer_tokens_than_asked_for_are_a_warning(client):
    record = client.compare(PYTHIA, "data=tinystories", "data.n_sequences=9999", "data.seq_len=2")["record"]
    assert any("data.n_sequences=9999, but roneneldan/TinyStories holds only" in each for each in record["warnings"])


def test_a_download_that_breaks_off_is_taken_up_again(hub, client):
    file = "EleutherAI/sae-pythia-160m-32k/layers.7/sae.safetensors"
    hub.cut_once.add(file)
    assert "record" in client.compare(PYTHIA, "layer_b=7")
    assert file not in hub.cut_once


def test_a_download_that_always_breaks_off_is_one_sentence(hub, client):
    hub.cut_always.add("EleutherAI/sae-pythia-160m-32k/layers.1/sae.safetensors")
    answer = told(client.compare(PYTHIA, "layer_b=1"))
    assert answer.startswith("sae_b.path=EleutherAI/sae-pythia-160m-32k:layers.1: cannot be downloaded")


def test_a_model_whose_download_is_damaged_is_named_and_downloaded_again(client, home):
    """A finite weight that differs would change every number, and be kept under the good one's name."""
    before = client.compare(PYTHIA)["record"]["similarity"]
    (snapshot,) = (home / "huggingface/hub/models--EleutherAI--pythia-70m/snapshots").iterdir()
    weights = (snapshot / "model.safetensors").resolve()
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    answer = told(client.compare(PYTHIA))
    problem = f"has a damaged file in the hub's cache; delete {weights}, and it is downloaded again"
    assert answer == f"model_a.name=EleutherAI/pythia-70m: {problem}"
    weights.unlink()
    assert client.compare(PYTHIA)["record"]["similarity"] == before


def test_without_a_network_the_cache_is_enough_and_what_is_not_in_it_is_one_sentence(client, offline):
    online = client.compare(PYTHIA)["record"]
    assert offline.compare(PYTHIA)["record"]["similarity"] == online["similarity"]
    for overrides, key in (
        (["model_a=hub", "model_a.name=some/model"], "model_a.name=some/model"),
        (["layer_b=4"], "sae_b.path=EleutherAI/sae-pythia-160m-32k:layers.4"),
        (["data.path=some/corpus"], "data.path=some/corpus"),
    ):
        started = time.perf_counter()
        answer = told(offline.compare(PYTHIA, *overrides))
        assert answer.startswith(f"{key}: is not in the local cache, and http://127.0.0.1:9 cannot be reached")
        assert time.perf_counter() - started < 5


def test_the_libraries_are_offline_only_during_the_call(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("analogue.hub._hub_answers", lambda period: False)
    with hub_errors("model", "some/model"):
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    refused = pytest.raises(Unavailable, match=r"^model=some/model: is not in the local cache")
    with refused, hub_errors("model", "some/model"):
        raise ConnectionError
    assert not constants.HF_HUB_OFFLINE
