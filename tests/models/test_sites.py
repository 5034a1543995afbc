"""Sites against forward passes written out for each architecture."""

import inspect

import pytest
import torch

from analogue.errors import InvalidArgument
from analogue.models import ResidualStream, find_blocks
from analogue.options import Hook
from tests.models.architectures import CONFIGS, WITH_OTHER_AXES, model_of, written_out

IDS = torch.randint(3, 50, (3, 9), generator=torch.Generator().manual_seed(1))
MASK = torch.arange(9) < torch.tensor([[9], [6], [9]])
EXPERTS = {"llama4": (1, 2), "qwen3_moe": (0, 1, 2), "gpt_oss": (0, 1, 2), "deepseek_v3": (1, 2)}
STATE_SPACES = ("mamba", "mamba2")


@pytest.fixture(scope="module", params=CONFIGS)
def written(request):
    """The architecture, a stream of its model, and the sites of each block written out."""
    model = model_of(request.param)
    blocks, given = find_blocks(model, 3), []

    def keep(block, arguments, named):
        bound = inspect.signature(block.forward).bind(*arguments, **named).arguments
        given.append(bound | bound.pop("kwargs", {}))

    handles = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in blocks]
    with torch.no_grad():
        model(input_ids=IDS, attention_mask=MASK.long(), use_cache=False)
        for handle in handles:
            handle.remove()
        sites, resid = [], given[0]["hidden_states"]
        for block, arguments in zip(blocks, given, strict=True):
            others = {name: each for name, each in arguments.items() if name != "hidden_states"}
            sites.append(written_out(request.param, block, resid, others))
            resid = sites[-1][0]["resid_post"]
    return request.param, ResidualStream(model, 3), sites


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_sites_are_those_of_the_pass_written_out(written, layer):
    architecture, stream, blocks = written
    sites, _ = blocks[layer]
    for hook, expected in sites.items():
        read = stream.read(IDS, MASK, [(layer, hook)])[layer, hook]
        torch.testing.assert_close(read[MASK], expected[MASK], atol=2e-5, rtol=2e-5, msg=f"{hook} of {architecture}")
    assert {"resid_post", "mlp_out"} <= {*sites} or architecture in STATE_SPACES


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_output_projection_of_attention_takes_in_attn_z(written, layer):
    """No other vectors would do: the matrix is not wider than it is high, and of full rank."""
    _, stream, blocks = written
    for hook, (projection, put_out) in blocks[layer][1].items():
        read = stream.read(IDS, MASK, [(layer, hook)])[layer, hook]
        assert torch.linalg.matrix_rank(projection.weight) == read.shape[-1]
        torch.testing.assert_close(projection(read)[MASK], put_out[MASK], atol=2e-5, rtol=2e-5)


def test_a_site_that_an_architecture_lacks_is_one_sentence(written):
    architecture, stream, blocks = written
    missing = {(layer, hook) for layer in range(3) for hook in Hook} - {
        (layer, hook) for layer, (sites, more) in enumerate(blocks) for hook in ("resid_pre", *sites, *more)
    }
    expected = {(layer, "neurons") for layer in EXPERTS.get(architecture, ())}
    expected |= {(layer, "resid_mid") for layer in range(3) if architecture == "gpt_neox"}
    if architecture in STATE_SPACES:
        expected = {(layer, hook) for layer in range(3) for hook in Hook if not hook.startswith("resid_p")}
    assert missing == expected
    for layer, hook in missing:
        with pytest.raises(InvalidArgument, match=rf"^hook={hook}: is no site of block {layer}: \w+ (does|runs|makes)"):
            stream.read(IDS, MASK, [(layer, hook)])


def test_all_sites_of_a_block_are_read_in_one_pass(written):
    _, stream, blocks = written
    hooks = [hook for sites_and_more in blocks[1:2] for part in sites_and_more for hook in part]
    read = stream.read(IDS, MASK, [(layer, hook) for layer in (1,) for hook in hooks])
    assert {*read} == {(1, hook) for hook in hooks}
    for hook in hooks:
        assert torch.equal(read[1, hook], stream.read(IDS, MASK, [(1, hook)])[1, hook])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "gemma2", "llama4", "bert"])
def test_sites_are_found_in_half_precision_too(architecture, dtype):
    stream = ResidualStream(model_of(architecture).to(dtype), 3)
    full = ResidualStream(model_of(architecture), 3)
    for hook in ("attn_out", "attn_z", "mlp_in", "mlp_out"):
        half = stream.read(IDS, MASK, [(0, hook)])[0, hook][MASK].float()
        exact = full.read(IDS, MASK, [(0, hook)])[0, hook][MASK]
        assert (half - exact).norm() < 0.1 * exact.norm(), hook


@pytest.mark.parametrize("architecture", WITH_OTHER_AXES)
@pytest.mark.parametrize("hook", ["resid_post", "resid_pre", "mlp_out"])
def test_blocks_with_other_axes_than_the_tokens_are_refused(architecture, hook):
    stream = ResidualStream(model_of(architecture), 3, hook)
    with pytest.raises(InvalidArgument, match=rf"^hook={hook}: has the shape .* only models with one vector for each"):
        stream(IDS, MASK, [1])
