"""Pairing by weights, whatever the scale of each feature."""

import numpy as np
import pytest
import torch
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

import analogue
from analogue.features import FeatureActivations
from analogue.matching import assign_weights, folded_weights, sae_match

D_SAE, D = 40, 12


def weights(seed=0, noise=0.0):
    """An SAE's weights at scales that are as arbitrary as thresholds are."""
    r = np.random.default_rng(0)
    decoder = r.standard_normal((D_SAE, D)) * np.exp(r.standard_normal((D_SAE, 1)))
    encoder, bias = r.standard_normal((D_SAE, D)), r.standard_normal(D_SAE)
    threshold = np.exp(r.standard_normal(D_SAE))
    r = np.random.default_rng(seed)
    return decoder + noise * r.standard_normal(decoder.shape), encoder, bias, threshold


def rescaled(decoder, encoder, bias, threshold, c):
    """The same function: activations c times as high."""
    return decoder / c[:, None], encoder * c[:, None], bias * c, threshold * c


def permuted(order, *parts):
    return (part[order] for part in parts)


def test_a_permutation_is_found_whatever_the_scales():
    r = np.random.default_rng(3)
    order, c = r.permutation(D_SAE), np.exp(2 * r.standard_normal(D_SAE))
    other = folded_weights(*permuted(order, *rescaled(*weights(seed=1, noise=0.1), c)))
    feature_a, feature_b = assign_weights(folded_weights(*weights()), other)
    assert (order[feature_b] == feature_a).all()
    raw = [np.hstack([decoder, encoder]) for decoder, encoder, *_ in (weights(), rescaled(*weights(1, 0.1), c))]
    _, unfolded = assign_weights(raw[0], raw[1][order])
    assert (order[unfolded] != feature_a).any()  # what the folding is for


def test_folding_leaves_the_function_as_it_is():
    decoder, encoder, bias, threshold = weights()
    folded = folded_weights(decoder, encoder, bias, threshold)
    x = np.random.default_rng(4).standard_normal((100, D))
    before = x @ encoder.T + bias
    after = x @ folded[:, D : 2 * D].T + folded[:, -1]
    np.testing.assert_allclose((after * (after > 1)) @ folded[:, :D], (before * (before > threshold)) @ decoder)


def test_without_a_threshold_decoder_rows_are_unit():
    decoder, encoder, bias, _ = weights()
    decoder[3] = 0
    for threshold in (None, np.zeros(D_SAE)):
        folded = folded_weights(decoder, encoder, bias, threshold)
        np.testing.assert_allclose(np.linalg.norm(folded[:, :D], axis=1), np.arange(D_SAE) != 3)
    scaled = folded_weights(*rescaled(decoder, encoder, bias, np.ones(D_SAE), np.full(D_SAE, 7.0))[:3])
    np.testing.assert_allclose(scaled[0], folded[0])


def test_the_assignment_is_the_best_of_all():
    r = np.random.default_rng(5)
    a, b = r.standard_normal((5, 4)), r.standard_normal((7, 4))
    from itertools import permutations

    feature_a, feature_b = assign_weights(a, b)
    best = min(sum(((a[i] - b[j]) ** 2).sum() for i, j in enumerate(chosen)) for chosen in permutations(range(7), 5))
    assert ((a[feature_a] - b[feature_b]) ** 2).sum() == pytest.approx(best)
    with pytest.raises(ValueError, match="weights of one width"):
        assign_weights(a, b[:, :3])


def test_features_without_variance_are_in_no_pair():
    acts = np.random.default_rng(6).gamma(1.0, 1.0, (50, 3))
    dead = acts.copy()
    dead[:, 1] = 0
    pairs = sae_match(
        FeatureActivations.from_dense(acts),
        FeatureActivations.from_dense(dead),
        "b_to_a",
        assignment=(np.array([0, 1, 2]), np.array([2, 1, 0])),
    )
    assert list(zip(pairs.feature_a, pairs.feature_b, strict=True)) == [(2, 0), (0, 2)]
    assert pairs.correlation[0] == pytest.approx(np.corrcoef(acts[:, 2], dead[:, 0])[0, 1])


def jumprelu(seed, scale):
    generator = torch.Generator().manual_seed(0)
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=96, d_sae=64, device="cpu", dtype="float32"))
    sae.W_dec.data = torch.randn(64, 96, generator=generator)
    sae.W_enc.data = sae.W_dec.data.T.clone() / 10
    sae.b_enc.data, sae.threshold.data = torch.zeros(64), torch.full((64,), 0.5)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
    sae.W_dec.data, sae.W_enc.data = sae.W_dec.data[order] / scale, sae.W_enc.data[:, order] * scale
    sae.threshold.data *= scale
    return sae.requires_grad_(False), order


def test_a_comparison_pairs_by_weights_and_refuses_other_widths():
    (one, order_a), (two, order_b) = jumprelu(1, 1.0), jumprelu(2, 30.0)
    a, b = (analogue.Side("embedded:stories-6", 3, sae) for sae in (one, two))
    small = {"n_sequences": 6, "seq_len": 48, "device": "cpu", "progress": False}
    loose = analogue.Filters(concept_tokens=False, shared_token=False)
    null = analogue.Null(n=9, kinds=["shuffle", "permuted_sequences"])
    found = analogue.compare(a, b, matching="sae_match", filters=loose, null=null, **small)
    assert (order_a[found.pairs.feature_a] == order_b[found.pairs.feature_b]).all()
    assert len(found.pairs) > 10
    np.testing.assert_allclose(found.pairs.correlation, 1, atol=1e-5)
    other = analogue.Side("embedded:stories-12", 6, "embedded:stories-12-saes/layer_{layer}")
    with pytest.raises(analogue.InvalidArgument, match=r"^matching\.rule=sae_match: compares weights, .* 96 and 128"):
        analogue.compare(a, other, matching="sae_match", **small)
