import json

import pyarrow.parquet as pq
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModelForCausalLM, AutoTokenizer

from analogue.embedded import ASSETS

LAYERS = {"stories-6": 6, "stories-12": 12}


def test_assets_stay_small():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) < 40e6


@pytest.mark.parametrize("model", LAYERS)
def test_models_know_the_language_of_held_out_stories(model):
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / model)
    language_model = AutoModelForCausalLM.from_pretrained(ASSETS / model, dtype=torch.float32)
    text = pq.read_table(ASSETS / "stories" / "heldout.parquet")["text"].to_pylist()[:10]
    ids = torch.tensor([tokenizer(story)["input_ids"][:64] for story in text])
    with torch.no_grad():
        loss = language_model(input_ids=ids, labels=ids).loss
    assert loss < 3.3  # uniform guessing gives log(3072) = 8.03
    assert language_model.config.num_hidden_layers == LAYERS[model]


@pytest.mark.parametrize("model", LAYERS)
def test_saes_open_in_saelens_and_keep_what_the_readme_says(model):
    for layer in range(LAYERS[model]):
        directory = ASSETS / f"{model}-saes" / f"layer_{layer}"
        sae = SAE.load_from_disk(directory)
        metadata = json.loads((directory / "cfg.json").read_text())["metadata"]
        assert sae.cfg.d_sae == 8 * sae.cfg.d_in
        assert metadata["explained_variance"] >= 0.8
        assert metadata["dead_fraction"] < 0.2
