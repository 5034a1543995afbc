"""The paper's setups, end to end, from a hub on the loopback; only sizes are overridden."""

import pytest
from sae_lens import StandardSAE, StandardSAEConfig

from tests.hub.repositories import random_weights

PRESETS = {
    "pythia_70m_vs_160m": ("EleutherAI/pythia-70m", 3, "topk", "EleutherAI/pythia-160m", 5, "topk"),
    "gemma_1_2b_vs_gemma_2_2b": ("google/gemma-2b", 12, "standard", "google/gemma-2-2b", 14, "jumprelu"),
    "llama_3_vs_3_1": (
        "meta-llama/Meta-Llama-3-8B-Instruct",
        25,
        "gated",
        "meta-llama/Llama-3.1-8B",
        25,
        "jumprelu",
    ),
    "gemma_2_2b_vs_9b": ("google/gemma-2-2b", 12, "jumprelu", "google/gemma-2-9b", 20, "jumprelu"),
    "pythia_70m_controls": ("EleutherAI/pythia-70m", 3, "topk", "EleutherAI/pythia-70m", 3, "topk"),
    "mamba_vs_pythia": ("state-spaces/mamba-130m-hf", 12, "topk", "EleutherAI/pythia-160m", 6, "topk"),
    "tinystories_seeds": (
        "roneneldan/TinyStories-1Layer-21M",
        0,
        "standard",
        "roneneldan/TinyStories-1Layer-21M",
        0,
        "standard",
    ),
}


@pytest.fixture(scope="module")
def trained_saes(home):
    """The two SAEs that the user of `tinystories_seeds` has trained, where the preset looks for them."""
    for seed in (0, 1):
        sae = StandardSAE(StandardSAEConfig(d_in=16, d_sae=96))
        state = zip(("W_enc", "b_enc", "W_dec", "b_dec"), random_weights(16, seed), strict=True)
        sae.load_state_dict(dict(state))
        sae.save_model(home / f"saes/tinystories/layer_0/seed_{seed}/d_sae_16384")


@pytest.fixture(scope="module")
def trained_mamba(client):
    """The SAE that the user of `mamba_vs_pythia` has trained."""
    sizes = ("dead_after_tokens=512", "evaluation.every_steps=1", "checkpoints.every_steps=1", "layers=[12]")
    answer = client.train("experiment=mamba_130m", *sizes, "output_dir=saes/mamba_130m")
    assert answer == {"saes": ["layer_12"]}


def summary(side):
    return side["model"], side["layer"], side["sae_architecture"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_runs_end_to_end(client, trained_saes, trained_mamba, preset):
    answer = client.compare(f"experiment={preset}")
    assert "record" in answer, answer
    record = answer["record"]
    assert (*summary(record["side_a"]), *summary(record["side_b"])) == PRESETS[preset]
    assert record["corpus"]["n_tokens"] > 0
    assert record["funnel"][-1]["n_pairs"] >= 3
    assert all(entry["score"] is not None for entry in record["similarity"])
    assert not [warning for warning in record["warnings"] if "was trained on" in warning]


@pytest.mark.parametrize(
    ("sae", "path"),
    [("pythia_70m_seed_32", "wlog/sae_pythia_70m_32k_seed32"), ("pythia_70m_64k", "wlog/sae_pythia_70m_64k")],
)
def test_the_controls_of_the_papers_authors(client, sae, path):
    record = client.compare("experiment=pythia_70m_controls", f"sae_b={sae}")["record"]
    assert record["side_b"]["sae"] == f"{path}:layers.3"
    assert record["side_a"]["sae_fingerprint"] != record["side_b"]["sae_fingerprint"]


def test_the_control_with_redrawn_weights(client):
    record = client.compare("experiment=pythia_70m_controls", "sae_b=pythia_70m", "model_b.randomize=weights")["record"]
    assert record["side_a"]["sae_fingerprint"] == record["side_b"]["sae_fingerprint"]
    assert record["side_a"]["model_fingerprint"] != record["side_b"]["model_fingerprint"]


def test_the_published_protocol_switches_every_row(client):
    record = client.compare("experiment=pythia_70m_vs_160m", "protocol=published")["record"]
    for side in (record["side_a"], record["side_b"]):
        assert side["hook_point"] == "resid_pre"
        assert side["l0"] > 16  # all that is above zero, not the k=16 highest
    assert record["direction"] == "b_to_a"
    assert record["corpus"]["n_tokens"] == 8 * 40
    assert [entry["metric"] for entry in record["similarity"]] == ["svcca_pc1", "rsa_correlation"]
    assert all(entry["p_value_published"] is not None for entry in record["similarity"])


@pytest.mark.parametrize(("filters", "rule"), [("paper", "first"), ("none", None), ("full_stops", None)])
def test_the_published_protocol_adds_no_filter(compose_config, filters, rule):
    one_to_one = compose_config("compare", "protocol=published", f"filters={filters}").filters.one_to_one
    assert (one_to_one and one_to_one.value) == rule


def test_the_published_seed_study_keeps_many_to_one(compose_config):
    assert compose_config("compare", "experiment=tinystories_seeds", "protocol=published").filters.one_to_one is None


def test_a_revision_is_another_model(client):
    first, last = (
        client.compare("experiment=pythia_70m_vs_160m", f"model_a.revision={revision}")["record"]
        for revision in ("step1000", "null")
    )
    assert first["side_a"]["model_fingerprint"] != last["side_a"]["model_fingerprint"]
    assert first["side_a"]["activation_key"] != last["side_a"]["activation_key"]
    assert first["similarity"] != last["similarity"]
    assert first["corpus"]["tokens_sha256"] == last["corpus"]["tokens_sha256"]
