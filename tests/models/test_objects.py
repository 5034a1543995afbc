"""Models given as objects: read as those of the same name, and left as they are."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM as EncoderDecoder
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, GPT2Model, LlamaConfig, LlamaForCausalLM, T5Config

from analogue.embedded import ASSETS
from analogue.errors import InvalidArgument
from analogue.models import next_token_loss, open_model

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
IDS = torch.randint(3072, (2, 9), generator=torch.Generator().manual_seed(1))
MASK = torch.arange(9) < torch.tensor([[9], [6]])


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ASSETS / "tokenizer")


@pytest.fixture(params=["gpt2", "llama"])
def model(request):
    """With dropout and in training mode, one part of it excepted."""
    torch.manual_seed(0)
    if request.param == "gpt2":
        made = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=3, n_head=2, n_positions=40, vocab_size=3072))
        made.transformer.h[1].eval()
    else:
        made = LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=3072, attention_dropout=0.5))
        made.model.layers[1].eval()
    return made


def as_it_is(model):
    weights = {name: (each.clone(), each.dtype, each.device) for name, each in model.state_dict().items()}
    return weights, [each.requires_grad for each in model.parameters()], [each.training for each in model.modules()]


def assert_as_it_was(model, before):
    weights, gradients, modes = as_it_is(model)
    for name, (values, dtype, device) in before[0].items():
        assert torch.equal(weights[name][0], values)
        assert weights[name][1:] == (dtype, device)
    assert (gradients, modes) == before[1:]


def test_an_object_gives_the_stream_of_its_saved_copy_and_stays_as_it_was(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    named, at_hand = open_model(str(tmp_path)), open_model(model.train(), tokenizer)
    before = as_it_is(model)
    for hook in ("resid_post", "resid_pre"):
        expected = open_model(str(tmp_path), hook=hook).load()(IDS, MASK, [0, 2])
        found = open_model(model, tokenizer, hook=hook).load("bfloat16")(IDS, MASK, [0, 2])
        for layer in (0, 2):
            torch.testing.assert_close(found[layer][MASK], expected[layer][MASK], rtol=0, atol=0)
    for name in ("n_layers", "d_model", "vocab_size", "n_positions"):
        assert getattr(named, name) == getattr(at_hand, name)
    assert_as_it_was(model, before)


def test_moving_or_switching_the_stream_leaves_the_object(model, tokenizer):
    before = as_it_is(model)
    stream = open_model(model, tokenizer).load()
    nn.ModuleList([stream]).eval().double()
    assert_as_it_was(model, before)
    stream(IDS, MASK, [1])
    assert_as_it_was(model, before)


def test_the_mode_comes_back_after_a_failure(model, tokenizer):
    before = as_it_is(model)
    with pytest.raises(IndexError):
        open_model(model, tokenizer).load()(IDS + 3072, MASK, [1])
    assert_as_it_was(model, before)


def test_its_loss_is_measured_in_evaluation_mode(model, tokenizer):
    stream = open_model(model, tokenizer).load(with_head=True)
    before = as_it_is(model)
    tap = stream.tap(1, "mlp_out", IDS, MASK)
    first, again = (next_token_loss(stream.model, tap, IDS, MASK) for _ in range(2))
    assert_as_it_was(model, before)
    assert first == again == next_token_loss(model.eval(), tap, IDS, MASK)


def test_a_randomised_object_is_a_copy(model, tokenizer):
    before = as_it_is(model)
    trained = open_model(model, tokenizer)
    control = open_model(model, tokenizer, randomize="weights", randomize_seed=3)
    assert control.fingerprint != trained.fingerprint
    streams = [each.load()(IDS, MASK, [2])[2] for each in (trained, control)]
    assert not torch.allclose(*streams)
    assert_as_it_was(model, before)


def test_the_fingerprint_follows_weights_and_configuration_not_the_mode(model, tokenizer):
    first = open_model(model, tokenizer).fingerprint
    assert open_model(model.eval(), tokenizer).fingerprint == first
    model.config.initializer_range = 0.5
    assert open_model(model, tokenizer).fingerprint != first
    model.config.initializer_range = 0.02
    with torch.no_grad():
        next(model.parameters())[3, 2] += 1
    assert open_model(model, tokenizer).fingerprint != first


def test_a_model_without_a_head_has_a_stream_and_no_loss(tokenizer):
    headless = open_model(GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=3072)), tokenizer)
    assert headless.name == "GPT2Model"
    assert headless.load()(IDS, MASK, [1])[1].shape == (2, 9, 16)
    with pytest.raises(InvalidArgument, match=r"^model=GPT2Model: has no language-model head"):
        headless.load(with_head=True)


def test_a_half_precision_object_stays_in_half_precision(tokenizer):
    half = GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=3072)).bfloat16()
    assert open_model(half, tokenizer).load("float32")(IDS, MASK, [0])[0].dtype == torch.bfloat16


def test_an_object_needs_its_tokenizer(model):
    with pytest.raises(InvalidArgument, match=r"^tokenizer=None: is needed where `model` is an object"):
        open_model(model)


def test_the_name_of_a_tokenizer_is_no_tokenizer(model):
    with pytest.raises(InvalidArgument, match=r"^tokenizer=gpt2: is not a tokenizer of transformers"):
        open_model(model, "gpt2")


def test_objects_that_cannot_be_compared_are_refused(tokenizer):
    sizes = T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=50)
    with pytest.raises(InvalidArgument, match="has an encoder and a decoder"):
        open_model(EncoderDecoder.from_config(sizes), tokenizer)
    with pytest.raises(InvalidArgument, match=r"^model=Linear: is neither a name nor a model of transformers"):
        open_model(nn.Linear(2, 2), tokenizer)
    with torch.device("meta"):
        empty = GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2))
    with pytest.raises(InvalidArgument, match="not in memory"):
        open_model(empty, tokenizer)


def test_a_tokenizer_may_replace_the_one_of_a_named_model(tokenizer):
    other = AutoTokenizer.from_pretrained(ASSETS / "tokenizer", pad_token="!")
    assert open_model("embedded:stories-6", other).tokenizer is other
    assert open_model("embedded:stories-6", other).fingerprint == open_model("embedded:stories-6").fingerprint


@pytest.mark.parametrize("options", [{"hook": "resid"}, {"randomize": "biases"}])
def test_unknown_options_list_the_known_ones(options):
    [(name, value)] = options.items()
    with pytest.raises(InvalidArgument, match=rf"^{name}={value}: is not an option; choose from (resid_pre|weights)"):
        open_model("embedded:stories-6", **options)


def test_a_model_with_hooks_is_like_no_other(model, tokenizer):
    """Steering is no part of the weights: activations kept for one run must not serve another."""
    plain = open_model(model, tokenizer).fingerprint
    assert open_model(model, tokenizer).fingerprint == plain
    handle = model.register_forward_hook(lambda module, inputs, output: output)
    hooked = {open_model(model, tokenizer).fingerprint for _ in range(2)}
    handle.remove()
    assert len({*hooked, plain}) == 3
    assert open_model(model, tokenizer).fingerprint == plain
