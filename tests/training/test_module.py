"""The training loop: what each SAE gets, and when it is stopped."""

import copy

import pytest
import torch

from analogue.errors import InvalidArgument
from tests.training.conftest import BATCH, fit, module_of, random_batches, sae_of


def weights(module, name):
    return [parameter.detach().clone() for parameter in module.saes[name].sae.parameters()]


def test_an_sae_does_not_notice_who_trains_beside_it():
    batches = random_batches(60, layers=(0, 1))
    saes = {
        "a": sae_of("topk", k=4),
        "b": sae_of("standard", seed=1, l1_coefficient=0.5),
        "c": sae_of("gated", d_sae=24),
    }
    layers = {"a": 0, "b": 1, "c": 0}
    together = module_of(copy.deepcopy(saes), layers=layers)
    fit(together, batches)
    for name in saes:
        alone = module_of({name: copy.deepcopy(saes[name])}, layers=layers)
        fit(alone, batches)
        assert all(torch.equal(x, y) for x, y in zip(weights(alone, name), weights(together, name), strict=True))


def test_the_seed_draws_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = sae_of("topk", k=4), sae_of("topk", k=4), sae_of("topk", k=4, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.W_dec, same.W_dec)
    assert not torch.equal(one.W_dec, other.W_dec)


def test_features_are_dead_after_as_many_tokens_as_asked_for():
    module = module_of({"a": sae_of("topk", k=1)}, dead_after_tokens=10 * BATCH, learning_rate=1e-6)
    fit(module, random_batches(12))
    each = module.saes["a"]
    assert int(each.n_tokens) == 12 * BATCH
    assert int(each.n_fired.sum()) == 12 * BATCH
    never = each.n_fired == 0
    assert never.any()
    assert bool(each.dead[never].all())
    assert int(each.tokens_since_fired.max()) == 12 * BATCH


@pytest.mark.parametrize("learning_rate", [1e6, 1e30])
def test_a_loss_that_explodes_stops_with_step_and_key(learning_rate):
    module = module_of({"layer_3": sae_of("standard", l1_coefficient=0.5)}, learning_rate=learning_rate, warm_up=0)
    with pytest.raises(InvalidArgument, match=r"^learning_rate=.* the loss of layer_3 is .* at step \d+"):
        fit(module, random_batches(100))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"architecture": "perceptron"}, "^architecture=perceptron: is not known to SAELens; choose from"),
        ({"architecture": "topk", "k": 49}, "settings.k=49: must lie between 1 and the SAE's 48 features"),
        ({"architecture": "topk", "k": 2.5}, "settings.k=2.5: is not a whole number"),
        ({"architecture": "topk", "k": True}, "settings.k=True: is not a whole number"),
        ({"architecture": "topk", "device": "cuda"}, "settings.device=cuda: is decided by `device`"),
        ({"architecture": "standard", "l1_coefficient": -1}, "l1_coefficient=-1: must be at least 0"),
        ({"architecture": "standard", "l1_coefficient": float("nan")}, "l1_coefficient=nan: must be .* finite"),
        ({"architecture": "standard", "apply_b_dec_to_input": "maybe"}, "=maybe: is not true or false"),
        ({"architecture": "standard", "normalize_activations": "bogus"}, "=bogus: is none of none, expected"),
        ({"architecture": "jumprelu", "jumprelu_bandwidth": 0}, "jumprelu_bandwidth=0: must be above 0"),
        ({"architecture": "matryoshka_batchtopk", "matryoshka_shares": ["a"]}, "must be a list of fractions"),
        ({"architecture": "matryoshka_batchtopk", "matryoshka_shares": 0.5}, "must be a list of fractions"),
        ({"architecture": "topk", "kk": 4}, "settings=.*does not fit topk"),
        ({"architecture": "matryoshka_batchtopk", "k": 4}, "settings=.*does not fit matryoshka"),
    ],
)
def test_settings_that_fit_no_sae_are_one_sentence(settings, told):
    with pytest.raises(InvalidArgument, match=told) as error:
        sae_of(**settings)
    assert "\n" not in str(error.value)
