"""Files that `eai-sparsify` wrote, read by us and by it."""

import pytest
import torch

from analogue.saes import load, output_site, reconstruction_of, sae_site
from tests.saes.weights import random_resid

sparsify = pytest.importorskip("sparsify", reason="pip install eai-sparsify to check against the package itself")

D_IN, D_SAE, K = 16, 64, 8


def written_by_sparsify(directory, normalize_decoder=True, dtype=None, **settings):
    torch.manual_seed(0)
    config = sparsify.SparseCoderConfig(num_latents=D_SAE, k=K, normalize_decoder=normalize_decoder, **settings)
    coder = sparsify.SparseCoder(D_IN, config)
    for parameter in (coder.encoder.bias, coder.b_dec):
        parameter.data.normal_()
    coder.W_dec.data += 0.3 * torch.randn_like(coder.W_dec)  # trained decoders are not the encoder's transpose
    if coder.W_skip is not None:
        coder.W_skip.data.normal_()
    coder.to(dtype).save_to_disk(directory)
    return sparsify.SparseCoder.load_from_disk(directory)


@pytest.mark.parametrize("normalize_decoder", [True, False])
def test_encoding_decoding_and_decoder_rows_are_sparsifys(tmp_path, normalize_decoder):
    theirs = written_by_sparsify(tmp_path / "layers.3", normalize_decoder)
    ours = load(path=str(tmp_path / "layers.{layer}"), layer=3)
    resid = 2.0 * torch.randn(200, D_IN, generator=torch.Generator().manual_seed(1)) + 1.0
    with torch.no_grad():
        top_acts, top_indices, pre_acts = theirs.encode(resid)
        dense = torch.zeros(len(resid), D_SAE).scatter(1, top_indices, top_acts)
        torch.testing.assert_close(ours.encode(resid), dense, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.decode(dense), theirs.decode(top_acts, top_indices), atol=1e-5, rtol=1e-5)
        before_topk = load(path=str(tmp_path / "layers.3"), before_topk=True)
        torch.testing.assert_close(before_topk.encode(resid), pre_acts.relu(), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.W_dec, theirs.W_dec.data, atol=0, rtol=0)
    assert ours.cfg.metadata.hook_name == "layers.3"


@pytest.mark.parametrize("skip_connection", [True, False])
@pytest.mark.parametrize("transcode", [True, False])
def test_transcoders_and_skip_connections_predict_what_they_do_in_sparsify(tmp_path, transcode, skip_connection):
    folder = tmp_path / "layers.3.mlp"
    theirs = written_by_sparsify(folder, transcode=transcode, skip_connection=skip_connection, multi_topk=True)
    theirs.cfg.multi_topk = False  # of its training: `forward` would then return the output of 4 k features
    ours = load(path=folder, transcoders=True)
    resid = random_resid(D_IN)[1:]
    with torch.no_grad():
        top_acts, top_indices, _ = theirs.encode(resid)
        dense = torch.zeros(len(resid), D_SAE).scatter(1, top_indices, top_acts)
        torch.testing.assert_close(ours.encode(resid), dense, atol=1e-5, rtol=1e-5)
        predicted = theirs(resid, torch.zeros_like(resid)).sae_out
        torch.testing.assert_close(reconstruction_of(ours, resid, dense), predicted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.W_dec, theirs.W_dec.data, atol=0, rtol=0)
    assert (sae_site(ours), output_site(ours)) == ((3, "mlp_in" if transcode else "mlp_out"), (3, "mlp_out"))


def test_a_folder_per_seed_and_the_runs_configuration_are_understood(tmp_path):
    written_by_sparsify(tmp_path / "run" / "transformer.h.5" / "seed1")
    (tmp_path / "run" / "config.json").write_text('{"model": "openai-community/gpt2", "exclude_tokens": [50256]}')
    sae = load(path=tmp_path / "run/transformer.h.5/seed1")
    assert sae_site(sae) == (5, "resid_post")
    assert (sae.cfg.metadata.model_name, sae.cfg.metadata.exclude_special_tokens) == ("openai-community/gpt2", [50256])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_read(tmp_path, dtype):
    theirs = written_by_sparsify(tmp_path / "layers.3", dtype=dtype).float()
    resid = random_resid(D_IN)
    with torch.no_grad():
        torch.testing.assert_close(load(path=tmp_path / "layers.3").encode(resid), _dense(theirs, resid))


def _dense(coder, resid):
    top_acts, top_indices, _ = coder.encode(resid)
    return torch.zeros(len(resid), D_SAE).scatter(1, top_indices, top_acts)
