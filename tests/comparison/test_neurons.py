"""Sites other than the residual stream, and neurons without an SAE, through the whole comparison."""

import numpy as np
import pytest
import torch
from sae_lens import TopKSAE, TopKSAEConfig
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

import analogue
from analogue.comparison.sides import open_side
from analogue.embedded import ASSETS
from analogue.errors import InvalidArgument
from analogue.models import open_model
from analogue.saes.bases import NEURONS, SignedBasis

SMALL = {"n_sequences": 6, "seq_len": 48, "null": analogue.Null(n=5), "device": "cpu", "progress": False}
A = analogue.Side("embedded:stories-6", 3, "neurons")
B = analogue.Side("embedded:stories-12", 6, "neurons")


def test_each_neuron_is_two_features_that_lose_nothing():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(7, 5, generator=generator) * torch.arange(1, 8)[:, None]
    hidden = torch.randn(20, 7, generator=generator) - 0.3
    neurons = SignedBasis(rows, NEURONS)
    acts = neurons.encode(hidden)
    assert acts.shape == (20, neurons.cfg.d_sae) == (20, 14)
    assert (acts >= 0).all()
    assert (acts > 0).sum(1).eq(7).all()
    assert torch.equal(neurons.decode(acts), hidden)
    torch.testing.assert_close(acts @ neurons.W_dec, hidden @ rows)


def test_the_decoder_is_the_output_projection():
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "stories-6", dtype=torch.float32)
    side = open_side(A, "a")
    rows = model.gpt_neox.layers[3].mlp.dense_4h_to_h.weight.T
    torch.testing.assert_close(torch.from_numpy(side.decoder), torch.cat([rows, -rows]).detach())
    assert (side.d_sae, side.sae.cfg.d_in, side.model.hook) == (2 * len(rows), len(rows), "neurons")


def test_neurons_are_compared_without_an_sae():
    comparison = analogue.compare(A, B, filters=analogue.Filters(concept_tokens=False, shared_token=False), **SMALL)
    record = comparison.record
    for side in (record.side_a, record.side_b):
        assert (side.sae, side.sae_architecture, side.hook_point) == ("neurons", "neurons", "neurons")
        assert side.explained_variance == pytest.approx(1, abs=1e-6)
        assert side.l0 == pytest.approx(side.d_sae / 2, rel=0.01)  # one of its two halves
    assert record.n_kept > 20
    correlation = comparison.pairs.correlation
    assert correlation.max() > 0.5


def test_a_neuron_of_a_model_corresponds_to_itself():
    comparison = analogue.compare(A, A, filters=analogue.Filters(concept_tokens=False, shared_token=False), **SMALL)
    kept = comparison.pairs[comparison.pairs.kept]
    assert (kept.feature_a == kept.feature_b).all()
    assert comparison.scores.score[0] == pytest.approx(1)


@pytest.mark.parametrize("hook", ["mlp_in", "mlp_out", "attn_out"])
def test_an_sae_of_another_site_reads_that_site(hook):
    torch.manual_seed(0)
    sae = TopKSAE(TopKSAEConfig(d_in=96, d_sae=192, k=8))
    side = analogue.Side("embedded:stories-6", 3, sae, hook=hook)
    record = analogue.compare(side, side, filters=analogue.Filters(concept_tokens=False), **SMALL).record
    assert record.side_a.hook_point == hook
    stream = open_model("embedded:stories-6", hook=hook).load()
    ids = torch.arange(96).reshape(2, 48)
    expected = float((sae.encode(stream(ids, ids >= 0, [3])[3]) > 0).sum(-1).float().mean())
    assert record.side_a.l0 == pytest.approx(expected, abs=1)


def test_a_site_that_a_model_lacks_names_the_side():
    torch.manual_seed(0)
    tokenizer = open_model("embedded:stories-6").tokenizer
    mamba = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=4096, state_size=4)).eval()
    sae = TopKSAE(TopKSAEConfig(d_in=16, d_sae=32, k=4))
    side = analogue.Side(mamba, 1, sae, tokenizer=tokenizer, hook="attn_out")
    with pytest.raises(analogue.InvalidArgument, match=r"^b.hook=attn_out: is no site of block 1: MambaBlock does not"):
        analogue.compare(analogue.Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_3"), side, **SMALL)
    with pytest.raises(analogue.InvalidArgument, match=r"^a.hook=neurons: is no site of block 0: MambaBlock"):
        analogue.compare(analogue.Side(mamba, 0, "neurons", tokenizer=tokenizer), side, **SMALL)
    with pytest.raises(analogue.InvalidArgument, match=r"^a.hook=mlp_out: is not what `a.sae`=neurons reads"):
        analogue.compare(analogue.Side("embedded:stories-6", 0, "neurons", hook="mlp_out"), side, **SMALL)


def test_neurons_of_two_precisions_agree():
    exact, half = (
        analogue.compare(
            analogue.Side("embedded:stories-6", 3, "neurons", dtype=dtype),
            B,
            filters=analogue.Filters(concept_tokens=False, shared_token=False),
            **SMALL,
        ).pairs
        for dtype in ("float32", "bfloat16")
    )
    assert np.mean(exact.feature_b == half.feature_b) > 0.7


@pytest.mark.parametrize(("sae", "explained"), [("identity", (0.999, 1.001)), ("random:seed=0", (-1.0, 0.4))])
def test_raw_bases_are_compared_without_a_warning_that_they_explain_little(sae, explained):
    a, b = (
        analogue.Side(model, layer, sae) for model, layer in (("embedded:stories-6", 3), ("embedded:stories-12", 6))
    )
    comparison = analogue.compare(a, b, filters=analogue.Filters(concept_tokens=False, shared_token=False), **SMALL)
    record = comparison.record
    assert explained[0] < record.side_a.explained_variance < explained[1]
    assert (record.side_a.sae, record.side_a.hook_point) == (sae, "resid_post")
    assert record.n_kept > 20
    assert not any("explains" in warning for warning in record.warnings)


def test_a_basis_of_the_residual_stream_is_none_of_sites_of_other_widths():
    with pytest.raises(InvalidArgument, match=r"^a\.hook=neurons: has another width than the residual stream"):
        open_side(analogue.Side("embedded:stories-6", 3, "identity", hook="neurons"), "a")
