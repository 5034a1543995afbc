"""Files that `eai-sparsify` wrote, read by us and by it."""

import pytest
import torch

from analogue.saes import load

sparsify = pytest.importorskip("sparsify", reason="pip install eai-sparsify to check against the package itself")

D_IN, D_SAE, K = 16, 64, 8


def written_by_sparsify(directory, normalize_decoder):
    torch.manual_seed(0)
    config = sparsify.SparseCoderConfig(num_latents=D_SAE, k=K, normalize_decoder=normalize_decoder)
    coder = sparsify.SparseCoder(D_IN, config)
    for parameter in (coder.encoder.bias, coder.b_dec):
        parameter.data.normal_()
    coder.W_dec.data += 0.3 * torch.randn_like(coder.W_dec)  # trained decoders are not the encoder's transpose
    coder.save_to_disk(directory)
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
