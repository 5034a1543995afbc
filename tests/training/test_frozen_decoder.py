"""The control whose decoder stays as it was drawn."""

import pytest
import torch

from analogue.errors import InvalidArgument
from analogue.saes import load, sae_warnings
from analogue.training.sae import SAEUnderTraining, inference_sae, new_sae
from analogue.training.settings import ARCHITECTURES, default_settings
from tests.training.conftest import D_IN, fit, module_of, random_batches


def frozen(architecture, **settings):
    given = default_settings(architecture) | ({"k": 4} if "k" in ARCHITECTURES[architecture] else {}) | settings
    return new_sae(architecture, given, D_IN, 48, 0, 10, {"model_name": "none"}, frozen_decoder=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_but_the_decoder_trains(architecture):
    sae = frozen(architecture)
    before = {name: weights.detach().clone() for name, weights in sae.named_parameters()}
    torch.testing.assert_close(before["W_dec"].norm(dim=1), torch.ones(48))
    torch.testing.assert_close(before["W_enc"], before["W_dec"].T)
    module = module_of({"a": sae}, warm_up=0, learning_rate=3e-3)
    fit(module, random_batches(40))
    moved = {name for name, weights in sae.named_parameters() if not torch.equal(weights, before[name])}
    assert moved == before.keys() - {"W_dec"}
    directions = inference_sae(module.saes["a"].finish(), {}).W_dec  # after the input's scale has been folded in
    torch.testing.assert_close(directions / directions.norm(dim=1, keepdim=True), before["W_dec"])


def test_a_checkpoint_says_that_the_decoder_is_frozen():
    each = SAEUnderTraining(frozen("topk"), 0, 1000)
    assert each.has_frozen_decoder
    assert SAEUnderTraining.from_hyperparameters(each.hyperparameters()).has_frozen_decoder


def test_an_encoder_that_is_the_decoder_cannot_train_without_it():
    with pytest.raises(InvalidArgument, match=r"^frozen_decoder=True: .* matching_pursuit encodes with its decoder"):
        new_sae("matching_pursuit", {}, D_IN, 48, 0, 10, {}, frozen_decoder=True)


def test_the_files_of_a_control_say_what_it_is(train, tmp_path):
    train("sae.frozen_decoder=true", "seeds=[0]", "expansion_factor=[2]", "model.randomize=weights")
    sae = load(tmp_path / "saes" / "layer_3")
    facts = sae.cfg.metadata.to_dict()
    assert (facts["frozen_decoder"], facts["randomize"], facts["randomize_seed"]) == (True, "weights", 0)
    warning = "was trained on the model with redrawn weights (randomize=weights, seed 0), and reads it as it is"
    assert sae_warnings(sae, 3, model_name="embedded:stories-6") == [warning]
    assert sae_warnings(sae, 3, model_name="embedded:stories-6", randomize="weights") == []
