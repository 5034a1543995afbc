import pytest
import torch
from transformers import AutoModel, OpenAIGPTConfig

from analogue.models import ResidualStream, find_blocks
from tests.models.architectures import CONFIGS, FINAL_NORM, model_of


@pytest.fixture(params=CONFIGS)
def architecture(request):
    return request.param


def tokens(n_sequences=2, seq_len=5):
    ids = torch.randint(50, (n_sequences, seq_len), generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids, dtype=torch.bool)


def hidden_states(model, ids, mask):
    """The embeddings, and what each block puts out, the last one's behind the final norm."""
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        if "mamba" in model.config.model_type:  # it leaves the embeddings out, and gives the last block twice
            states = (model.get_input_embeddings()(ids), *states[:2], states[3])
    return states


def test_blocks_put_out_what_a_reference_pass_gives(architecture):
    model = model_of(architecture)
    ids, mask = tokens()
    resid = ResidualStream(model, 3)(ids, mask, [0, 1, 2])
    reference = hidden_states(model, ids, mask)
    for layer in (0, 1):
        torch.testing.assert_close(resid[layer], reference[layer + 1])
    norm = FINAL_NORM.get(architecture, "norm")
    last = getattr(model.get_decoder(), norm)(resid[2]) if norm else resid[2]
    torch.testing.assert_close(last, reference[3])
    if norm:
        assert not torch.allclose(resid[2], reference[3])


def test_what_blocks_take_in_is_what_the_blocks_before_put_out(architecture):
    model = model_of(architecture)
    ids, mask = tokens()
    taken_in = ResidualStream(model, 3, "resid_pre")(ids, mask, [0, 1, 2])
    reference = hidden_states(model, ids, mask)
    for layer in (0, 1, 2):
        torch.testing.assert_close(taken_in[layer], reference[layer])


def test_the_pass_stops_after_the_deepest_block(architecture):
    model = model_of(architecture)
    reached = []
    for layer, block in enumerate(find_blocks(model, 3)):
        block.register_forward_pre_hook(lambda *_, layer=layer: reached.append(layer))
    ids, mask = tokens()
    assert set(ResidualStream(model, 3)(ids, mask, [1])) == {1}
    assert reached == [0, 1]


def test_padding_on_the_right_changes_no_token(architecture):
    stream = ResidualStream(model_of(architecture), 3)
    ids, mask = tokens()
    padded = torch.nn.functional.pad(ids, (0, 3), value=7)
    padded_mask = torch.nn.functional.pad(mask, (0, 3), value=False)
    with_padding = stream(padded, padded_mask, [2])[2][:, :5]
    torch.testing.assert_close(with_padding, stream(ids, mask, [2])[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 7, 49])
def test_the_padding_token_changes_nothing(architecture, padding):
    stream = ResidualStream(model_of(architecture), 3)
    ids, mask = tokens()
    mask[0, 3:] = False
    repadded = torch.where(mask, ids, padding)
    torch.testing.assert_close(stream(repadded, mask, [2])[2][mask], stream(ids, mask, [2])[2][mask])


def test_a_model_that_is_spread_over_devices_stays_where_it_is():
    model = model_of("llama")
    ResidualStream(model, 3, movable=False).double()
    assert next(model.parameters()).dtype == torch.float32
    ResidualStream(model, 3).double()
    assert next(model.parameters()).dtype == torch.float64


def test_a_model_without_such_blocks_is_refused():
    with pytest.raises(ValueError, match="GPT2Model holds no list of 5 blocks"):
        find_blocks(model_of("gpt2"), 5)


def test_of_a_model_that_reads_images_too_the_text_blocks_are_read():
    model = model_of("gemma3_multimodal")
    assert find_blocks(model, 3) is model.language_model.layers


def test_blocks_may_put_out_lists():
    config = OpenAIGPTConfig(n_embd=16, n_layer=3, n_head=2, vocab_size=50)
    model = AutoModel.from_config(config).eval()
    ids, mask = tokens()
    with torch.no_grad():
        reference = model(input_ids=ids, output_hidden_states=True).hidden_states
    resid = ResidualStream(model, 3)(ids, mask, [0, 1, 2])
    for layer in (0, 1, 2):
        torch.testing.assert_close(resid[layer], reference[layer + 1])
