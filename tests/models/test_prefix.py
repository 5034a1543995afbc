"""A context's last token, read many times, against a forward pass of the whole context with a hook."""

from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM

from analogue.models import Prefix, ResidualStream
from tests.models.architectures import CONFIGS

LAYER = 1
WITHOUT_MEMORY = {"mamba", "mamba2"}
ARCHITECTURES = ["gpt2", "gpt_neox", "llama", "llama4", "mistral", "gemma2", "gemma3", "mamba"]


def model_of(architecture, dtype=torch.float32):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[architecture]()).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    return ResidualStream(model.to(dtype).requires_grad_(False), 3)


def by_hand(stream, ids, added, block=LAYER):
    """Logits after the context, one vector at a time, with the vector added to the block's output at the last token."""

    def hook(vector, module, inputs, output):
        acts = (output[0] if isinstance(output, tuple) else output).clone()
        acts[:, -1] += vector
        return (acts, *output[1:]) if isinstance(output, tuple) else acts

    rows = []
    for vector in added:
        handle = stream.blocks[block].register_forward_hook(partial(hook, vector))
        rows.append(stream.model(input_ids=ids[None], use_cache=False).logits[0, -1])
        handle.remove()
    return torch.stack(rows)


def logits_of(prefix, added):
    found = torch.full((len(added), len(prefix.logits)), torch.nan)

    def use(rows, logits):
        found[rows] = logits.float()

    prefix.logits_with(added, use)
    return found


@pytest.fixture
def ids():
    return torch.tensor([3, 7, 11, 4, 9, 30, 22, 5, 41, 8])


@pytest.fixture
def added():
    return torch.randn(5, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_every_row_is_a_pass_of_its_own(architecture, ids, added, monkeypatch):
    stream = model_of(architecture)
    monkeypatch.setattr("analogue.models.prefix.TOKENS_PER_PASS", 2 * len(ids))  # two rows at a time
    expected = by_hand(stream, ids, added.float())
    first = Prefix(stream, LAYER, "resid_post", ids)
    assert first.remembers == (architecture not in WITHOUT_MEMORY)
    for prefix in (first, Prefix(stream, LAYER, "resid_post", ids, first.remembers)):
        torch.testing.assert_close(prefix.logits, by_hand(stream, ids, torch.zeros(1, 16))[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(logits_of(prefix, added), expected, atol=1e-4, rtol=1e-4)
        at = stream(ids[None], torch.ones(1, len(ids), dtype=torch.bool), [LAYER])[LAYER][0, -1]
        torch.testing.assert_close(prefix.at_last_token, at, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_memory_that_is_wrong_is_not_used(ids, added, monkeypatch):
    stream = model_of("llama")
    memory = Prefix._memory

    def forgetful(prefix):
        found = memory(prefix)
        for layer in found.layers:
            layer.values = layer.values * 0.9
        return found

    monkeypatch.setattr(Prefix, "_memory", forgetful)
    prefix = Prefix(stream, LAYER, "resid_post", ids)
    assert not prefix.remembers
    torch.testing.assert_close(logits_of(prefix, added), by_hand(stream, ids, added.float()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("hook", ["resid_pre", "mlp_out"])
@torch.no_grad()
def test_vectors_are_added_at_other_sites_too(hook, ids, added):
    stream = model_of("llama")
    found = logits_of(Prefix(stream, LAYER, hook, ids), added)
    if hook == "resid_pre":
        expected = by_hand(stream, ids, added.float(), LAYER - 1)
    else:
        expected = by_hand(stream, ids, added.float())  # the MLP's output is added to the block's
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_models_remember(dtype, ids, added):
    stream = model_of("llama", dtype)
    prefix = Prefix(stream, LAYER, "resid_post", ids)
    assert prefix.remembers
    expected = by_hand(model_of("llama"), ids, added.float())
    assert (logits_of(prefix, added) - expected).norm() < 0.1 * expected.norm()
