"""Every architecture that SAELens saves, with every way in which it normalises its input."""

import pytest
import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)

from analogue.saes import load

D_IN, D_SAE = 12, 40
SIZES = {"d_in": D_IN, "d_sae": D_SAE}
INFERENCE = {
    "standard": (StandardSAE, StandardSAEConfig(**SIZES)),
    "topk": (TopKSAE, TopKSAEConfig(**SIZES, k=5)),
    "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig(**SIZES)),
    "gated": (GatedSAE, GatedSAEConfig(**SIZES)),
}
TRAINING = {
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig(**SIZES, k=5)),
    "matryoshka": (
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig(**SIZES, k=5, matryoshka_widths=[10, D_SAE]),
    ),
}


@pytest.fixture
def resid():
    return torch.randn(60, D_IN, generator=torch.Generator().manual_seed(1)) * 4 + 1


def with_random_weights(sae):
    torch.manual_seed(0)
    for name, parameter in sae.named_parameters():
        parameter.data = torch.rand_like(parameter) if name == "threshold" else 0.5 * torch.randn_like(parameter)
    return sae


@pytest.mark.parametrize("normalisation", ["none", "constant_norm_rescale", "layer_norm"])
@pytest.mark.parametrize("architecture", INFERENCE)
def test_inference_saes_come_back_as_they_were(tmp_path, resid, architecture, normalisation):
    sae_class, config = INFERENCE[architecture]
    config.normalize_activations = normalisation
    saved = with_random_weights(sae_class(config))
    saved.save_model(tmp_path)
    loaded = load(path=str(tmp_path))
    with torch.no_grad():
        acts = saved.encode(resid)
        torch.testing.assert_close(loaded.encode(resid), acts)
        torch.testing.assert_close(loaded.decode(loaded.encode(resid)), saved.decode(acts))
    assert 0 < (acts > 0).float().mean() < 1
    assert loaded.W_dec.shape == (D_SAE, D_IN)


@pytest.mark.parametrize("architecture", TRAINING)
def test_saes_trained_over_batches_encode_tokens_one_by_one(tmp_path, resid, architecture):
    sae_class, config = TRAINING[architecture]
    trained = with_random_weights(sae_class(config))
    trained.topk_threshold = torch.tensor(1.5)
    trained.save_inference_model(tmp_path)
    loaded = load(path=str(tmp_path))
    hidden_pre = (resid - trained.b_dec) @ trained.W_enc + trained.b_enc
    if trained.cfg.rescale_acts_by_decoder_norm:
        hidden_pre = hidden_pre * trained.W_dec.norm(dim=1)
    torch.testing.assert_close(loaded.encode(resid), hidden_pre.relu() * (hidden_pre > 1.5), atol=1e-4, rtol=1e-4)


def test_a_factor_for_the_inputs_norm_that_was_folded_in_changes_nothing(tmp_path, resid):
    unscaled = with_random_weights(StandardSAE(StandardSAEConfig(**SIZES)))
    expected = unscaled.encode(0.37 * resid)
    unscaled.cfg.normalize_activations = "expected_average_only_in"
    unscaled.fold_activation_norm_scaling_factor(0.37)
    unscaled.save_model(tmp_path)
    loaded = load(path=str(tmp_path))
    torch.testing.assert_close(loaded.encode(resid), expected)
    torch.testing.assert_close(0.37 * loaded.decode(expected), expected @ (0.37 * loaded.W_dec) + 0.37 * loaded.b_dec)
