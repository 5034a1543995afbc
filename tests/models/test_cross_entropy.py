"""What a language model loses when what is read of a block is replaced, against a forward pass written out by hand."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from analogue.embedded import ASSETS
from analogue.models import next_token_loss, open_model, recovered

LAYER = 3
STORIES = (
    "Once upon a time, there was a little girl named Lily. She loved to play with her dog in the park.",
    "Tom had a big red ball. He was happy.",
)


@pytest.fixture(scope="module")
def text():
    """Two sequences, one of them padded; the padding's ids must not matter."""
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "stories-6")
    rows = [torch.tensor(tokenizer(told)["input_ids"]) for told in STORIES]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=7)
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]


@pytest.fixture(scope="module")
def ours(text):
    """The loss of our function, by what becomes of the residual stream."""
    resid = open_model("embedded:stories-6").load(with_head=True)

    def loss(replace, hook="resid_post", layer=LAYER):
        return float(next_token_loss(resid.model, resid.tap(layer, hook, *text), *text, replace))

    return loss


def by_hand(text, replace, part=""):
    """Minus the log-probability of each next token, a sequence at a time and without padding."""
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "stories-6", dtype=torch.float32).eval()
    layer, total = model.gpt_neox.layers[LAYER].get_submodule(part), 0.0

    def hook(module, inputs, output):
        return (replace(output[0]), *output[1:]) if isinstance(output, tuple) else replace(output)

    for ids, mask in zip(*text, strict=True):
        ids = ids[mask]
        handle = layer.register_forward_hook(hook)
        with torch.no_grad():
            logits = model(ids[None]).logits[0]
        handle.remove()
        probabilities = logits.double().softmax(-1)
        total -= sum(float(probabilities[i, ids[i + 1]].log()) for i in range(len(ids) - 1))
    return total


def shrunk(resid):
    return 0.7 * resid


def turned(term):
    return 20 * term.flip(-1)


def unchanged(resid):
    return resid


@pytest.mark.parametrize("replace", [unchanged, shrunk, torch.zeros_like])
def test_the_loss_is_that_of_a_pass_written_out_by_hand(ours, text, replace):
    assert ours(replace) == pytest.approx(by_hand(text, replace), rel=1e-5)


@pytest.mark.parametrize("replace", [shrunk, torch.zeros_like])
def test_what_blocks_take_in_is_replaced_too(ours, replace):
    assert ours(replace, "resid_pre", LAYER + 1) == pytest.approx(ours(replace, "resid_post", LAYER), rel=1e-6)


@pytest.mark.parametrize(("hook", "part"), [("attn_out", "attention"), ("mlp_out", "mlp")])
def test_the_terms_of_a_block_are_replaced_where_they_are_added(ours, text, hook, part):
    assert ours(turned, hook) == pytest.approx(by_hand(text, turned, part), rel=1e-5)
    assert ours(turned, hook) > 1.1 * ours(None)


def test_the_residual_stream_itself_recovers_all_and_zeros_nothing(ours):
    of_model, of_zero = ours(None), ours(torch.zeros_like)
    assert recovered(of_model, ours(unchanged), of_zero) == 1
    assert recovered(of_model, of_zero, of_zero) == 0
    assert ours(None) == of_model  # no hook is left behind


def test_in_between_it_is_the_share_that_the_losses_give(ours, text):
    losses = [by_hand(text, replace) for replace in (unchanged, shrunk, torch.zeros_like)]
    expected = (losses[2] - losses[1]) / (losses[2] - losses[0])
    assert 0.1 < expected < 0.999
    assert recovered(ours(None), ours(shrunk), ours(torch.zeros_like)) == pytest.approx(expected, abs=1e-5)


def test_it_is_below_zero_where_worse_than_zeros_and_nan_where_zeros_do_no_harm():
    assert recovered(1.0, 5.0, 3.0) == -1
    assert torch.tensor(recovered(2.0, 1.0, 2.0)).isnan()
