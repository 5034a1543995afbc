import pytest
import torch
from transformers import AutoModel, GPTNeoXConfig

from analogue.models import open_model, redraw_parameters

EMBEDDED = "embedded:stories-6"


def tiny_model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
    model = AutoModel.from_config(GPTNeoXConfig(**sizes, vocab_size=500))
    for parameter in model.parameters():
        parameter.data = 3.0 * torch.randn_like(parameter) + 1.0
    return model


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("embeddings", [False, True])
def test_each_parameter_keeps_its_mean_and_sd_and_nothing_else(embeddings):
    model = tiny_model()
    before = state(model)
    redraw_parameters(model, seed=0, embeddings=embeddings)
    for name, after in model.named_parameters():
        if "embed_in" in name and not embeddings:
            assert torch.equal(after, before[name])
        elif after.numel() > 10_000:
            torch.testing.assert_close(after.mean(), before[name].mean(), atol=0.1, rtol=0)
            torch.testing.assert_close(after.std(), before[name].std(), atol=0.1, rtol=0)
            correlation = torch.corrcoef(torch.stack([after.flatten(), before[name].flatten()]))[0, 1]
            assert abs(correlation) < 0.05


def test_the_seed_decides_and_embeddings_do_not_shift_the_rest():
    first, again, other, all_of_it = (tiny_model() for _ in range(4))
    for model, seed, embeddings in ((first, 1, False), (again, 1, False), (other, 2, False), (all_of_it, 1, True)):
        redraw_parameters(model, seed, embeddings)
    name = "layers.1.mlp.dense_4h_to_h.weight"
    assert torch.equal(state(first)[name], state(again)[name])
    assert torch.equal(state(first)[name], state(all_of_it)[name])
    assert not torch.equal(state(first)[name], state(other)[name])


def test_parameters_are_redrawn_in_pieces_as_in_one(monkeypatch):
    whole, pieces = tiny_model().bfloat16(), tiny_model().bfloat16()
    redraw_parameters(whole, seed=0)
    monkeypatch.setattr("analogue.models.randomise.CHUNK", 1000)
    redraw_parameters(pieces, seed=0)
    for name, after in whole.named_parameters():
        torch.testing.assert_close(after, dict(pieces.named_parameters())[name])


def test_parameters_without_spread_stay():
    layer = torch.nn.LayerNorm(8)
    redraw_parameters(layer, seed=0)
    assert torch.equal(layer.weight, torch.ones(8))
    assert torch.equal(layer.bias, torch.zeros(8))


def test_a_model_is_redrawn_when_it_is_loaded_and_is_another_model():
    trained = open_model(EMBEDDED)
    control = open_model(EMBEDDED, randomize="weights", randomize_seed=3)
    other = open_model(EMBEDDED, randomize="all", randomize_seed=3)
    assert len({model.fingerprint for model in (trained, control, other)}) == 3
    before, after = state(trained.load().model), state(control.load().model)
    assert torch.equal(after["embed_in.weight"], before["embed_in.weight"])
    assert not torch.equal(state(other.load().model)["embed_in.weight"], before["embed_in.weight"])
    assert not torch.equal(after["layers.3.mlp.dense_4h_to_h.weight"], before["layers.3.mlp.dense_4h_to_h.weight"])


def test_a_comparison_with_a_random_model_falls_apart(compare):
    trained, control = compare("layer_b=3"), compare("layer_b=3", "model_b.randomize=weights")
    assert control.side_b.activation_key != trained.side_b.activation_key
    assert control.correlation["mean"] < trained.correlation["mean"] - 0.05
